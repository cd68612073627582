"""What the inert reader puts in place of things that plain Python values cannot stand for.

A name in a file becomes a `GlobalName`, which is a `Foreign` that knows what intact makes of a call of it. `Size` keeps apart the
tuples that are `torch.Size`, `StorageView` the storages of before 0.4 that are a part of another one, and `ForeignTensor` tensors
of other people's classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from intact.core.container import Foreign, Storage, TensorRecord
from intact.core.description import ForeignName
from intact.core.dtype import dtype_named

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

Buffer: TypeAlias = bytes | memoryview
Builder: TypeAlias = "Callable[[Machine, GlobalName, tuple[Any, ...]], Any]"
"""(machine, the name that is called, arguments) to the inert value that stands for the result."""


@dataclass(eq=False, slots=True, repr=False)
class GlobalName(Foreign):
    """A name that a pickle refers to; one object for one name of one pickle, as one class is one object.

    Attributes:
        build: What stands for a call of it; None where nothing better is known than a `Foreign`.
        known: Whether tensors and plain data need it, so that no report has to name it.
        dtype: Element type, for names of storage and tensor classes and of dtypes; "" for others.
    """

    build: Builder | None = None
    known: bool = False
    dtype: str = ""


class Size(tuple[Any, ...]):
    """A shape saved as `torch.Size`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StorageView(Storage):
    """A part of a storage, as torch wrote it before 0.4.

    Attributes:
        whole: The storage it is a part of.
        first: Its first element there.
    """

    whole: Storage = Storage("", "uint8", 0)
    first: int = 0


def part_of(whole: Storage, first: int, count: int) -> StorageView | None:
    """Returns a part of a storage, None where the storage does not reach that far.

    Args:
        whole: The storage.
        first: First element of the part.
        count: How many elements it has.
    """
    known = dtype_named(whole.dtype)
    width = known.itemsize_bytes if known else 1
    if not 0 <= first <= first + count <= whole.size_bytes // width:
        return None
    name = f"{whole.name}[{first}:{first + count}]"
    return StorageView(name, whole.dtype, count * width, whole.byteorder, whole.device, whole=whole, first=first)


@dataclass(eq=False, slots=True, repr=False)
class ForeignTensor(Foreign):
    """A tensor of a class that intact does not resolve: an inert record, and the plain tensor it was made around.

    Attributes:
        record: The tensor; what a description lists.
    """

    record: TensorRecord | None = None


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What one pickle holds.

    Attributes:
        value: The root; plain values, `TensorRecord`, `Storage` and `Foreign`, with the identity that the file gives them.
        foreign: Names beyond what tensors and plain data need, in the order of their first mention.
        known: The other names it mentions, by which the age of a file can be told.
        end: Byte position after the pickle.
        protocol: Highest protocol it declares.
        problems: Tensors that reach outside their storage, each with the reason.
        bytes_texts: Strings of Python 2 that are no text; how many, and the first of them, shortened.
    """

    value: Any
    foreign: tuple[ForeignName, ...] = ()
    known: frozenset[str] = frozenset()
    end: int = 0
    protocol: int = 0
    problems: tuple[tuple[TensorRecord, str], ...] = field(default=())
    bytes_texts: tuple[int, bytes] = (0, b"")


class Memory(Protocol):
    """Keeps the values of tensors that stand inside a pickle instead of beside it."""

    def hold(self, raw: Buffer, dtype: str) -> Storage:
        """Returns a storage over these bytes."""
        ...

    def nested(self, raw: Buffer) -> Unpickled:
        """Returns what a small checkpoint file inside the pickle holds."""
        ...
