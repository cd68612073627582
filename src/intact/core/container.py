"""What a container hands out: inert objects with tensor records as leaves, and the bytes of storages on request.

Everything a file says about a tensor is in `TensorRecord`; nothing of it needs torch. Two names for one tensor are one record,
so identity survives; two records over one storage are views of the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, Protocol

from intact.core.description import Description, Source
from intact.core.dtype import dtype_named


@dataclass(frozen=True, slots=True)
class Storage:
    """A flat run of bytes behind one or more tensors.

    Attributes:
        name: Unique within its container.
        dtype: Element type it was declared with; "uint8" for untyped ones.
        size_bytes: How many bytes it has.
        byteorder: Of its elements, as they stand in the file.
        device: Where it was when it was saved (`cuda:0`).
        file: Which file of a set holds it; "" for a container of one file.
        begin: First byte in that file, -1 where the bytes do not stand there as they are (compressed).
    """

    name: str
    dtype: str
    size_bytes: int
    byteorder: Literal["little", "big"] = "little"
    device: str = "cpu"
    file: str = ""
    begin: int = -1


@dataclass(eq=False, slots=True)
class TensorRecord:
    """One tensor of a file, without its bytes. Compared by identity, as tensors are.

    Attributes:
        storage: The memory behind it; None for composed layouts, whose memory is in `parts`, and for meta tensors.
        dtype: As torch spells it.
        shape: In elements.
        stride: In elements, one for each dimension.
        offset: First element, counted in elements of `dtype` from the begin of the storage.
        layout: `strided`, `sparse_coo`, `sparse_csr`, `sparse_csc`, `sparse_bsr`, `sparse_bsc`, `quantized`, `nested`, `meta`.
        parts: Component tensors of a composed layout (`indices`, `values`, `crow_indices`, `scales`, `zero_points`, …).
        attributes: Plain facts that rebuilding needs (`scale`, `zero_point`, `axis`, `is_coalesced`, `conj`, `neg`).
        requires_grad: As saved.
        parameter: Whether it was saved as `torch.nn.Parameter`.
    """

    storage: Storage | None
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0
    layout: str = "strided"
    parts: Mapping[str, TensorRecord] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    requires_grad: bool = False
    parameter: bool = False

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def memory(self) -> object:
        """What is equal for two records just where they are the same view of the same memory."""
        if self.storage is None or self.elements == 0:
            return id(self)
        return (self.storage.name, self.storage.file, self.offset, self.shape, self.stride, self.dtype)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        expected = 1
        for size, step in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and step != expected:
                return False
            expected *= size
        return True

    @property
    def span_bytes(self) -> tuple[int, int]:
        """Byte range `[begin, end)` within the storage that its elements touch."""
        known = dtype_named(self.dtype)
        width = known.itemsize_bytes if known else 1
        if self.elements == 0:
            return (self.offset * width, self.offset * width)
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return (self.offset * width, (last + 1) * width)


@dataclass(eq=False, slots=True)
class Foreign:
    """An object of a class that intact does not resolve: inert, with everything the file says about it.

    Attributes:
        name: Full name of the class or function, as the file writes it.
        args: What it would be called with; None for a mere reference to the name.
        state: What would become its `__dict__` or go to `__setstate__`; None where the file gives none.
        items: What would be appended or set on it: a list, or a dict; None where there is nothing.
    """

    name: str
    args: tuple[Any, ...] | None = None
    state: Any = None
    items: Any = None

    def __repr__(self) -> str:
        """The name alone; the rest may be large or refer back to this object."""
        return f"<Foreign {self.name}>"


class Container(Protocol):
    """One opened checkpoint, of any format. Nothing in it is run, and no tensor byte is read before `storage_bytes`."""

    @property
    def source(self) -> Source:
        """Path, format, size, writer and checksums."""
        ...

    def describe(self) -> Description:
        """Returns what it holds; keys are paths through mappings and sequences (`model.fc.weight`, `layers[2].w`).

        Raises:
            Damaged: The structure contradicts itself or ends early.
        """
        ...

    def objects(self) -> Any:
        """Returns the nesting of plain objects with `TensorRecord` and `Foreign` leaves; identity as in the file."""
        ...

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor that `describe` lists under a key."""
        ...

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage, in the file's byte order; read-only where they are mapped from the file.

        Raises:
            Damaged: The byte range ends beyond the file (`file/truncated`).
        """
        ...

    def close(self) -> None:
        """Releases files and mappings; views handed out before stay valid as long as somebody holds them."""
        ...
