"""From the objects of a pickle to a description: which key leads to which tensor, and what else there is.

Keys are paths: names of mappings joined by dots, positions in sequences in brackets (`optimizer.state.0.exp_avg`, `layers[2].w`).
Pickled modules are described as their state dict would be. The walk never recurses, cuts cycles, and counts its visits, because
a small file can lead to one tensor by more names than there is time for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from intact.containers import modules
from intact.containers.distributed import Pieces, pieces_of
from intact.containers.pickles import ForeignTensor
from intact.containers.summaries import SCALARS, key_text, kind_and_text
from intact.core.container import Foreign, TensorRecord
from intact.core.description import Description, Extra, ForeignName, ModuleInfo
from intact.core.tensor import Role, TensorInfo
from intact.errors import TooLarge

DEPTH_LIMIT = 500
"""Deepest nesting that is followed; what lies below is named as one entry."""
VISITS_LIMIT = 4_000_000
"""Most entries that are looked at, an object that several names lead to counted for each: about four seconds."""
KEY_CHARACTERS_LIMIT = 1 << 27
"""Most characters of all keys and paths together; long names repeated by nesting would fill the memory."""
EXTRAS_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Walked:
    """The result of a walk.

    Attributes:
        description: Everything but bytes.
        records: Tensor by key; the keys of `description.tensors` and `description.absent`.
        pieces: By path, tensors of which a part is here and other files hold the rest.
        piece_paths: Identity of their records to path, the last one of several.
    """

    description: Description
    records: dict[str, TensorRecord]
    pieces: dict[str, Pieces] = field(default_factory=dict)
    piece_paths: dict[int, str] = field(default_factory=dict)


def walk(root: Any, foreign: tuple[ForeignName, ...], path: str) -> Walked:
    """Returns the description of a nesting of objects.

    Args:
        root: What the pickle holds.
        foreign: Names that its pickle mentions.
        path: The file, for errors.

    Raises:
        TooLarge: It leads to more entries than there is time to name.
    """
    walker = _Walker(path)
    walker.run(root)
    return walker.result(foreign)


@dataclass(slots=True)
class _Step:
    """One object still to be looked at, or the end of one that was entered (`value` is then the object itself)."""

    path: str
    nest: str
    value: Any
    depth: int
    leave: bool = False


@dataclass(slots=True)
class _Walker:
    path: str
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    absent: dict[str, TensorInfo] = field(default_factory=dict)
    records: dict[str, TensorRecord] = field(default_factory=dict)
    modules: dict[str, ModuleInfo] = field(default_factory=dict)
    metadata: dict[str, int] = field(default_factory=dict)
    extras: list[Extra] = field(default_factory=list)
    extra_state: list[str] = field(default_factory=list)
    entered: set[int] = field(default_factory=set)
    visits: int = 0
    characters: int = 0
    unlisted: int = 0
    pieces: dict[str, Pieces] = field(default_factory=dict)
    piece_paths: dict[int, str] = field(default_factory=dict)

    def run(self, root: Any) -> None:
        """Looks at everything below the root, in order."""
        steps = [_Step("", "", root, 0)]
        while steps:
            step = steps.pop()
            if step.leave:
                self.entered.discard(id(step.value))
            elif (record := _tensor_of(step.value)) is not None:
                self.tensor(step.path, step.nest, record)
            elif isinstance(step.value, Foreign) and modules.state_of(step.value) is not None:
                self.module(step.path, step.value, step.depth)
            elif isinstance(step.value, Foreign) and (pieces := pieces_of(step.value)) is not None:
                self.spread(step, pieces)
            else:
                self.other(step, steps)

    def other(self, step: _Step, steps: list[_Step]) -> None:
        """Enters a mapping or sequence, or notes what else it is."""
        value = step.value
        members = self.members(value) if isinstance(value, (dict, list, tuple, set, frozenset)) else None
        if members is None or id(value) in self.entered or step.depth >= DEPTH_LIMIT:
            self.note(step.path, value)
            return
        if isinstance(value, OrderedDict):
            self.versions(step.path, value)
        self.entered.add(id(value))
        steps.append(_Step("", "", value, 0, leave=True))
        below = []
        for name, member in members:
            inner = f"{step.path}{name}" if name[:1] == "[" and not isinstance(value, dict) else self.joined(step.path, name)
            self.count(len(inner))
            below.append(_Step(inner, step.path, member, step.depth + 1))
        steps.extend(reversed(below))

    def members(self, value: Any) -> list[tuple[str, Any]] | None:
        """Returns the members by name, None for what is noted as one entry: the empty, and sequences of plain values only."""
        if isinstance(value, dict):
            return [(key_text(key), member) for key, member in dict.items(value)] or None
        self.visits += len(value) // 16
        if all(type(member) in SCALARS for member in value):
            return None
        return [(f"[{position}]", member) for position, member in enumerate(value)]

    def count(self, characters: int) -> None:
        """Counts one visit.

        Raises:
            TooLarge: There were too many.
        """
        self.visits += 1
        self.characters += characters
        if self.visits > VISITS_LIMIT or self.characters > KEY_CHARACTERS_LIMIT:
            raise TooLarge(
                f"its objects share so many parts that more than {min(self.visits, VISITS_LIMIT):,} paths lead through them",
                code="safety/archive-bomb",
                path=self.path,
                evidence={"visits": self.visits},
                help="no program that saves models writes such a file; do not load it with anything else either",
            )

    @staticmethod
    def joined(path: str, name: str) -> str:
        """Returns the path of a member of a mapping or module."""
        return f"{path}.{name}" if path else name

    def tensor(self, key: str, nest: str, record: TensorRecord, role: Role = "tensor", *, absent: bool = False) -> None:
        """Adds a tensor under a key, or under the next free one where two paths read the same."""
        free, number = key, 2
        while free in self.records:
            free, number = f"{key}#{number}", number + 1
            self.count(len(free))
        self.records[free] = record
        device = record.storage.device if record.storage else "meta" if record.layout == "meta" else "cpu"
        target = self.absent if absent else self.tensors
        target[free] = TensorInfo(
            free, record.dtype, record.shape, role=role, layout=record.layout, nest=nest, source=free, device=device
        )

    def spread(self, step: _Step, pieces: Pieces) -> None:
        """Adds a tensor that processes share: itself where it is whole, else what there is of it."""
        if pieces.whole is not None:
            self.tensor(step.path, step.nest, pieces.whole)
            return
        self.pieces[step.path] = pieces
        self.piece_paths[id(step.value)] = step.path
        here = ", ".join(f"{list(piece.record.shape)} from {list(piece.offsets)} on" for piece in pieces.held[:3]) or "nothing"
        self.extras.append(Extra(step.path, "part", f"of {pieces.dtype} {list(pieces.shape)}: {here}"))

    def note(self, path: str, value: Any) -> None:
        """Adds an entry that is no tensor."""
        if path.rpartition(".")[2] == "_extra_state":
            self.extra_state.append(path)
        if len(self.extras) >= EXTRAS_LIMIT:
            self.unlisted += 1
        else:
            self.extras.append(Extra(path, *kind_and_text(value)))

    def versions(self, path: str, mapping: OrderedDict[Any, Any]) -> None:
        """Adds the versions that a state dict has for its modules."""
        recorded = mapping.__dict__.get("_metadata")
        for module, facts in dict.items(recorded) if isinstance(recorded, dict) else ():
            version = facts.get("version") if isinstance(facts, dict) else None
            if type(module) is str and type(version) is int:
                self.count(len(path) + len(module))
                self.metadata[f"{path}.{module}".strip(".")] = version

    def module(self, path: str, root: Foreign, depth: int) -> None:
        """Adds the modules, parameters and buffers of a pickled module, as its state dict would name them."""
        entered: set[int] = set()
        steps = [_Step(path, path, root, depth)]
        while steps:
            step = steps.pop()
            state = None if step.leave else modules.state_of(step.value)
            if step.leave:
                entered.discard(id(step.value))
            elif state is None or id(step.value) in entered or step.depth >= DEPTH_LIMIT:
                self.note(step.path, step.value)
            else:
                entered.add(id(step.value))
                steps.append(_Step("", "", step.value, 0, leave=True))
                steps.extend(self._children(step, state))
                self.modules[step.path] = modules.info(step.path, step.value.name, state)
                self._state(step, path, state)

    def _children(self, step: _Step, state: dict[Any, Any]) -> list[_Step]:
        found = []
        for name, child in modules.children(state):
            inner = self.joined(step.path, name)
            self.count(len(inner))
            found.append(_Step(inner, step.path, child, step.depth + 1))
        return found[::-1]

    def _state(self, step: _Step, nest: str, state: dict[Any, Any]) -> None:
        for name, value, role, persistent in _entries(state):
            key = self.joined(step.path, name)
            self.count(len(key))
            if (record := _tensor_of(value)) is not None:
                self.tensor(key, nest, record, role, absent=not persistent)
            elif value is not None:
                self.note(key, value)

    def result(self, foreign: tuple[ForeignName, ...]) -> Walked:
        """Returns all that was found."""
        if self.unlisted:
            self.extras.append(Extra("", "more", f"{self.unlisted:,} more entries"))
        return Walked(
            Description(
                tensors=self.tensors,
                ties=_ties(self.tensors, self.records),
                modules=self.modules,
                extras=tuple(self.extras),
                foreign=foreign,
                absent=self.absent,
                extra_state=tuple(self.extra_state),
                metadata=self.metadata,
            ),
            self.records,
            self.pieces,
            self.piece_paths,
        )


def _tensor_of(value: Any) -> TensorRecord | None:
    if isinstance(value, ForeignTensor):
        return value.record
    return value if isinstance(value, TensorRecord) else None


def _entries(state: dict[Any, Any]) -> Iterator[tuple[str, Any, Role, bool]]:
    for name, value in modules.entries(state, "_parameters"):
        yield name, value, "parameter", True
    transient = modules.transient_buffers(state)
    for name, value in modules.entries(state, "_buffers"):
        yield name, value, "buffer", name not in transient


def _ties(tensors: dict[str, TensorInfo], records: dict[str, TensorRecord]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = {}
    for key in tensors:
        groups.setdefault(records[key].memory, []).append(key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)
