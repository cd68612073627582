"""The bytes of tensors one after the other, for those who write them elsewhere: C order, little-endian, made when asked for.

What lies in the file as it is needed is handed out as a view, and its pages are given back once the next tensor is asked for,
so that a copy of fifty gigabytes takes the memory of its largest tensor.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, TensorRecord
from intact.core.dtype import dtype_named
from intact.errors import CannotRead, Damaged

GIVEN_BACK_BYTES = 64 << 20
"""Bytes that are read before pages are given back: each time takes a call to the system."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Streams:
    """The tensors of one container.

    Args:
        container: Open as long as bytes are taken.
        giving_back: Whether pages that were read are given back; not while several threads read.
    """

    def __init__(self, container: Container, *, giving_back: bool = True) -> None:
        self._container = container
        self._giving_back = giving_back
        self._read_bytes = 0

    def content(self, record: TensorRecord) -> memoryview:
        """Returns the bytes of a strided tensor; valid until the next call.

        Raises:
            CannotRead: It is of a layout or a dtype that has no plain bytes.
            Damaged: They are not all there.
        """
        known = dtype_named(record.dtype)
        if not is_plain(record) or record.storage is None or known is None:
            raise CannotRead(f"a {record.layout} tensor of {record.dtype} has no plain bytes", path=self._container.source.path)
        self._give_back(record.elements * known.itemsize_bytes)
        if not record.elements:
            return memoryview(b"")
        whole = self._container.storage_bytes(record.storage)
        begin, end = record.span_bytes
        if end > len(whole):
            raise Damaged("a tensor reaches outside its storage", code="file/storage-bounds", path=self._container.source.path)
        little = record.storage.byteorder == sys.byteorder or known.itemsize_bytes == 1
        if record.contiguous and little:
            return whole[begin:end]
        return memoryview(_in_order(whole[begin:end], record, known.itemsize_bytes, turned=not little).data).cast("B")

    def _give_back(self, size_bytes: int) -> None:
        """Gives back the pages that were read so far, when they are many."""
        self._read_bytes += size_bytes
        forget = getattr(self._container, "forget", None)
        if self._giving_back and self._read_bytes > GIVEN_BACK_BYTES and forget is not None:
            forget()
            self._read_bytes = size_bytes


def is_plain(record: TensorRecord) -> bool:
    """Tells whether a tensor is nothing but elements in memory."""
    lazy = record.attributes.get("conj") or record.attributes.get("neg")
    return record.layout == "strided" and record.storage is not None and not lazy and dtype_named(record.dtype) is not None


def _in_order(content: memoryview, record: TensorRecord, width: int, *, turned: bool) -> NDArray[Any]:
    """Copies strided elements into C order."""
    import numpy as np

    complex_halves = record.dtype.startswith("complex")
    unit = width // 2 if complex_halves else width
    kind: np.dtype[Any] = np.dtype(f"V{width}") if width not in (1, 2, 4, 8) else np.dtype(f"u{width}")
    flat = np.frombuffer(content, kind)
    view = np.lib.stride_tricks.as_strided(flat, record.shape, [step * width for step in record.stride], writeable=False)
    copied = np.ascontiguousarray(view)
    if turned:
        copied = np.ascontiguousarray(copied.reshape(-1)).view(f"u{unit}").byteswap()
    return copied.reshape(-1).view(np.uint8)
