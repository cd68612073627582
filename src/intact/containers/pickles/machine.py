"""The state of one inert unpickling: stack, memo, names met, and a budget that no file can overdraw.

The budget counts what a pickle makes us allocate: one unit for each byte of opcodes, more for each object, and the length of
everything that is copied. It grows with the pickle: an honest file of any size fits, and a short one cannot fill the memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from intact.containers.pickles.dangers import dangers_of
from intact.containers.pickles.names import resolve
from intact.containers.pickles.values import Buffer, GlobalName, Memory, Unpickled
from intact.core.container import Foreign, TensorRecord
from intact.core.description import ForeignName
from intact.errors import Damaged, IntactError, TooLarge

PersistentLoad = Callable[[Any], Any]
Operation = Callable[["Machine", int], int]

BUDGET_UNITS = 64 << 20
BUDGET_UNITS_FOR_A_BYTE = 48
"""Of 344 real pickles, the median takes 5 units a byte and the greediest 12; one of nothing but empty dicts takes 33."""
COLLISION_LIMIT = 1000
"""Most large numbers that may share a hash with another one; by chance it is none."""
NAMES_IN_ERROR_LIMIT = 20
_GETATTR = ("builtins.getattr", "__builtin__.getattr")


class Machine:
    """One run over one pickle.

    Args:
        data: The bytes that hold it.
        begin: Where it begins in them.
        persistent_load: Makes the value of a persistent id; without one it is an inert record.
        memory: Holds the values that stand in the pickle itself; without one, tensors of that kind are inert records.
        path: The file, for errors.

    Attributes:
        within: Whether it runs inside the stream of another pickle.
        unspent: Where the budget would have ended, once the pickle has.
    """

    __slots__ = (
        "begin",
        "budget_end",
        "bytes_texts",
        "collisions",
        "data",
        "done",
        "end",
        "foreign",
        "globals",
        "large",
        "marks",
        "memo",
        "memory",
        "path",
        "persistent_load",
        "problems",
        "protocol",
        "stack",
        "unspent",
        "within",
    )  # fmt: skip

    def __init__(
        self,
        data: Buffer,
        begin: int = 0,
        *,
        persistent_load: PersistentLoad | None = None,
        memory: Memory | None = None,
        path: str = "",
    ) -> None:
        self.data = data
        self.begin = begin
        self.end = len(data)
        self.budget_end = begin + BUDGET_UNITS + BUDGET_UNITS_FOR_A_BYTE * (len(data) - begin)
        self.persistent_load = persistent_load
        self.memory = memory
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], GlobalName] = {}
        self.foreign: dict[str, ForeignName] = {}
        self.bytes_texts: tuple[int, bytes] = (0, b"")
        self.problems: dict[int, tuple[TensorRecord, str]] = {}
        self.large: dict[int, Any] = {}
        self.collisions = 0
        self.protocol = 0
        self.done = False
        self.within = False
        self.unspent = 0

    def run(self, table: list[Operation]) -> Unpickled:
        """Returns what the pickle holds.

        Raises:
            Damaged: It ends early, or its opcodes contradict each other.
            TooLarge: It would take more memory than its size can justify.
        """
        at = self.begin
        data = self.data
        try:
            while at < self.budget_end:
                at = table[data[at]](self, at + 1)
        except IntactError as error:  # of a storage that is not where the pickle says
            error.evidence.update(self._dangers())
            raise
        except (IndexError, struct.error) as error:
            if at >= self.end - 16:
                raise self.truncated() from error
            raise self.damaged(at, "takes a value that is not there") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
            raise self.damaged(at, "does not fit what stands before it") from error
        if not self.done:
            raise self.too_large()
        return Unpickled(
            value=self.stack[-1],
            foreign=tuple(self.foreign.values()),
            known=frozenset(name.name for name in self.globals.values() if name.known),
            end=at,
            protocol=self.protocol,
            problems=tuple(self.problems.values()),
            bytes_texts=self.bytes_texts,
        )

    def spend(self, units: int) -> None:
        """Takes units from the budget.

        Raises:
            TooLarge: There are not as many.
        """
        self.budget_end -= units
        if self.budget_end < self.begin:
            raise self.too_large()

    def take(self, at: int, count: int) -> Buffer:
        """Returns the bytes `[at, at + count)`.

        Raises:
            Damaged: They are not all there.
        """
        if count < 0 or at + count > self.end:
            raise self.truncated(at + count)
        return self.data[at : at + count]

    def name(self, module: str, attribute: str, at: int) -> GlobalName:
        """Returns the record of a name and remembers that the pickle refers to it."""
        found = self.globals.get((module, attribute))
        if found is None:
            found = resolve(module, attribute, self.protocol)
            if not found.known:
                found.name = f"{module}.{attribute}"
            self.globals[(module, attribute)] = found
        if not found.known:
            seen = self.foreign.get(found.name)
            count, called, position = (seen.count, seen.called, seen.position) if seen else (0, False, at - self.begin)
            self.foreign[found.name] = ForeignName(found.name, count + 1, called, position)
        return found

    def mark_called(self, name: GlobalName) -> None:
        """Remembers that unpickling would call a name."""
        seen = self.foreign.get(name.name)
        if seen is not None and not seen.called:
            self.foreign[name.name] = ForeignName(seen.name, seen.count, True, seen.position)

    def merge_foreign(self, names: tuple[ForeignName, ...], at: int) -> None:
        """Adds the names of a pickle inside this one."""
        self.spend(64 * len(names))
        for inner in names:
            seen = self.foreign.get(inner.name) or ForeignName(inner.name, 0, False, at - self.begin)
            self.foreign[inner.name] = ForeignName(
                inner.name, seen.count + inner.count, seen.called or inner.called, seen.position
            )

    def call(self, name: Any, args: Any) -> Any:
        """Returns what stands for the result of a call; nothing is called."""
        self.budget_end -= 32
        if not isinstance(args, tuple):
            raise TypeError("arguments that are no tuple")
        if not isinstance(name, GlobalName):
            return Foreign(f"{name.name}()" if isinstance(name, Foreign) else f"{type(name).__name__}()", (name, *args))
        if name.build is not None:
            return name.build(self, name, args)
        if not name.known:
            self.mark_called(name)
        if name.name in _GETATTR and len(args) > 1 and isinstance(args[0], Foreign) and isinstance(args[1], str):
            self._note_attribute(f"{args[0].name}.{args[1]}")
        return Foreign(name.name, args)

    def _note_attribute(self, name: str) -> None:
        """Remembers what a call of `getattr` would reach, and that it may be called."""
        self.spend(len(name))
        seen = self.foreign.get(name)
        self.foreign[name] = replace(seen, count=seen.count + 1) if seen else ForeignName(name, 1, True, 0)

    def note_large_key(self, value: Any) -> None:
        """Remembers a large number that is part of a key.

        Raises:
            TooLarge: So many of them share a hash that it must be meant.
        """
        first = self.large.setdefault(hash(value), value)
        if first is not value and first != value:
            self.collisions += 1
            if self.collisions > COLLISION_LIMIT:
                raise self.too_large()

    def damaged(self, at: int, why: str) -> Damaged:
        """Returns the error of a pickle that contradicts itself."""
        return Damaged(
            f"the pickle cannot be read: the opcode at byte {at - self.begin} {why}",
            code="file/bad-header",
            path=self.path,
            evidence={"position": at, "names": self._names(), **self._dangers()},
            help="the file was changed after it was written, or was never a checkpoint; fetch or copy it again",
        )

    def truncated(self, needed: int = 0) -> Damaged:
        """Returns the error of a pickle that stops too early."""
        until = f" before byte {needed}, which it needs" if needed else ""
        return Damaged(
            f"the pickle ends at byte {self.end}{until} without its last opcode",
            code="file/truncated",
            path=self.path,
            evidence={"size_bytes": self.end, "names": self._names(), **self._dangers()},
            help="the file is shorter than it was written; fetch or copy it again",
        )

    def too_large(self) -> TooLarge:
        """Returns the error of a pickle that asks for more than it can justify."""
        return TooLarge(
            f"a pickle of {self.end - self.begin:,} bytes would take far more memory or time than its size can justify",
            code="safety/archive-bomb",
            path=self.path,
            evidence={"size_bytes": self.end - self.begin, "names": self._names(), **self._dangers()},
            help="no program that saves models writes such a file; do not load it with anything else either",
        )

    def _dangers(self) -> dict[str, dict[str, int]]:
        """What the part that was read names and would do harm, with its position; nothing where there is none."""
        return dangers_of(self.foreign.values())

    def _names(self) -> list[str]:
        return list(self.foreign)[:NAMES_IN_ERROR_LIMIT]
