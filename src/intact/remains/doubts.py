"""Signs of damage in a tensor that no checksum covers: a block of zeros, or of noise, where a disk or a transfer has its blocks.

Both are judged against the tensor's own values, so that padding rows, masks, pruned weights and wide ranges stay silent: what is
zero by design does not end where a block of the file does, and no distribution of weights has exponents of every size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, TensorRecord
from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.wording import some
from intact.files.digests import in_shares

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 512
"""The smallest unit that disks and file systems write, and that all larger ones are multiples of."""
DENSE_ZEROS = 0.02
"""Share of zeros above which zeros are nothing unusual in a tensor."""
_FEWEST_ELEMENTS = 48
"""Elements other than zero that a block needs, to be called noise."""
_EXPONENTS: dict[str, tuple[str, int, int, int, int]] = {
    "float64": ("<u8", 52, 0x7FF, 512, 48),
    "float32": ("<u4", 23, 0xFF, 72, 72),
    "bfloat16": ("<u2", 7, 0xFF, 72, 120),
    "float16": ("<u2", 10, 0x1F, 11, 28),
}
"""Dtype to unsigned type, place and mask of the exponent, and what only noise has in a block: the spread between the quartiles of
the exponents, and how many different ones there are.

Of random bytes every exponent is as likely as any other. Of weights, sums of squares and counts a block has a few, even where
rows of very different size meet in it.
"""


def doubt(container: Container, record: TensorRecord) -> str:
    """Returns what speaks against the bytes of a tensor, "" where nothing does.

    Args:
        container: Open.
        record: The tensor.

    Raises:
        Damaged: Its bytes are not all there.
    """
    for part in (record, *record.parts.values()):
        if part.storage is not None and part.elements:
            begin, end = part.span_bytes
            content = container.storage_bytes(part.storage)[begin:end]
            place = part.storage.begin + begin if part.storage.begin >= 0 else -1
            if why := doubt_of_bytes(content, part.dtype, part.shape, place, big=part.storage.byteorder == "big"):
                return why
    return ""


def torn(container: Container) -> Iterator[Finding]:
    """Yields the tensors with blocks of zeros that no design explains, as one finding.

    Raises:
        Damaged: Bytes of a tensor are not all there.
    """
    found: dict[str, str] = {}
    keys = list(container.describe().tensors)
    records = [container.record(key) for key in keys]
    rows = [
        (key, record)
        for key, record in zip(keys, records, strict=True)
        if record.layout == "strided" and record.storage is not None and record.contiguous and dtype_named(record.dtype)
    ]

    def look(share: Sequence[tuple[str, TensorRecord]]) -> None:
        for key, record in share:
            assert record.storage is not None
            known = dtype_named(record.dtype)
            begin, end = record.span_bytes
            raw = container.storage_bytes(record.storage)[begin:end]
            if (
                known
                and record.storage.begin >= 0
                and (why := _zeros(raw, known.itemsize_bytes, record.shape, record.storage.begin + begin))
            ):
                found[key] = why

    in_shares(rows, [record.span_bytes[1] - record.span_bytes[0] for _, record in rows], look, "looking for damage")
    if found:
        mine = [key for key in keys if key in found]
        yield Finding(
            "value/zero-block",
            "warning",
            f"{some(mine)}: {found[mine[0]]}",
            tuple(mine),
            {"tensors": {key: found[key] for key in mine[:100]}},
            cause="a page of the file was never written, or was written over: the zeros begin and end where its blocks do",
            help="fetch or copy the file again, or compare it with the original; intact salvage FILE gets the other tensors out",
        )


def _zeros(content: memoryview, width: int, shape: tuple[int, ...], place: int) -> str:
    import numpy as np

    raw = np.frombuffer(content, np.uint8)
    return _zero_block(raw, width, width * (shape[-1] if shape else 1), place) if len(raw) > BLOCK_BYTES else ""


def doubt_of_bytes(content: memoryview, dtype: str, shape: tuple[int, ...], place: int, *, big: bool = False) -> str:
    """Returns what speaks against bytes, "" where nothing does.

    Args:
        content: Of one tensor, in C order.
        dtype: As torch spells it.
        shape: In elements.
        place: Position of the first byte in the file; negative where they do not stand there as they are.
        big: Whether the elements are big-endian.
    """
    import numpy as np

    known = dtype_named(dtype)
    if known is None or not len(content):
        return ""
    raw = np.frombuffer(content, np.uint8)
    if dtype == "bool" and int(raw.max()) > 1:
        return "some of its bytes are neither 0 nor 1, and it holds truth values"
    if place < 0 or len(raw) <= BLOCK_BYTES:
        return ""
    row = known.itemsize_bytes * (shape[-1] if shape else 1)
    return _zero_block(raw, known.itemsize_bytes, row, place) or (_noise(raw, dtype, place) if not big else "")


def _zero_block(raw: NDArray[np.uint8], width: int, row: int, place: int) -> str:
    """What speaks of a block that was written over with zeros, or never written."""
    import numpy as np

    first = -place % BLOCK_BYTES
    blocks = _blocks(raw, first)
    zero = ~blocks.any(axis=1)
    if not zero.any() or zero.all():
        return ""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], zero, [False])).astype(np.int8)))
    regions = [_widened(raw, first + a * BLOCK_BYTES, first + b * BLOCK_BYTES) for a, b in edges.reshape(-1, 2).tolist()]
    if _zeros_outside(raw, width, regions) > DENSE_ZEROS:
        return ""
    for begin, end in regions:
        if _looks_torn(begin, end, len(raw), width, row, place):
            return f"the bytes [{place + begin:,}, {place + end:,}) of the file are zero amid values that are not"
    return ""


def _blocks(raw: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    whole = (len(raw) - first) // BLOCK_BYTES
    return raw[first : first + whole * BLOCK_BYTES].reshape(-1, BLOCK_BYTES)


def _widened(raw: NDArray[np.uint8], begin: int, end: int) -> tuple[int, int]:
    """The run of zeros that some whole blocks belong to; it can reach into the neighbours, less than a block on each side."""
    import numpy as np

    before: list[int] = np.nonzero(raw[max(0, begin - BLOCK_BYTES) : begin])[0].tolist()
    after: list[int] = np.nonzero(raw[end : end + BLOCK_BYTES])[0].tolist()
    lower = max(0, begin - BLOCK_BYTES) + before[-1] + 1 if len(before) else max(0, begin - BLOCK_BYTES)
    return lower, end + after[0] if len(after) else min(len(raw), end + BLOCK_BYTES)


def _zeros_outside(raw: NDArray[np.uint8], width: int, regions: list[tuple[int, int]]) -> float:
    """Share of elements that are zero elsewhere."""
    import numpy as np

    bounds = [0, *(edge for region in regions for edge in region), len(raw)]
    zeros = elements = 0
    for begin, end in pairwise(bounds):
        if (begin, end) in regions:
            continue
        begin, end = -(-begin // width) * width, end // width * width
        if begin < end:
            count = (end - begin) // width
            zeros += count - int(np.count_nonzero(raw[begin:end].reshape(count, width).any(axis=1)))
            elements += count
    return zeros / elements if elements else 1.0


def _looks_torn(begin: int, end: int, size: int, width: int, row: int, place: int) -> bool:
    """Whether zeros begin and end where blocks of a file do, and not where rows of a tensor do."""
    inner = [edge for edge in (begin, end) if 0 < edge < size]
    if not inner or not all(_near(place + edge, BLOCK_BYTES, width) for edge in inner):
        return False
    if not all(_near(edge, row, width) for edge in inner):
        return True
    return len(inner) == 2 and end - begin > row + 2 * width


def _near(position: int, step: int, width: int) -> bool:
    """Whether a position is that of a boundary, but for the zero bytes that a neighbouring element may have."""
    away = position % step
    return away < width or step - away < width


def _noise(raw: NDArray[np.uint8], dtype: str, place: int) -> str:
    """What speaks of a block of foreign bytes."""
    import numpy as np

    if dtype not in _EXPONENTS:
        return ""
    kind, shift, mask, limit, different = _EXPONENTS[dtype]
    width = np.dtype(kind).itemsize
    first = -place % BLOCK_BYTES
    if (place + first) % width or first % width:
        return ""
    blocks = _blocks(raw, first)
    if len(blocks) < 3:
        return ""
    values = blocks.reshape(-1).view(kind).reshape(len(blocks), -1)
    spread = _spread(values, shift, mask)
    if not bool((spread >= limit).any()) or float(np.nanmedian(spread)) > limit / 4:
        return ""
    wide = [number for number in range(len(blocks)) if spread[number] >= limit]
    noisy = [n for n in wide if len(np.unique(values[n] >> values.dtype.type(shift) & values.dtype.type(mask))) >= different]
    if not noisy or len(noisy) * 2 > len(blocks):
        return ""
    begin = place + first + noisy[0] * BLOCK_BYTES
    return (
        f"the bytes from {begin:,} of the file on look like noise: exponents of every size in {len(noisy):,} of {len(blocks):,} "
        f"blocks of {BLOCK_BYTES}, and of a few in the others"
    )


def _spread(values: NDArray[Any], shift: int, mask: int) -> NDArray[np.float64]:
    """Distance between the quartiles of the exponents of each block, zeros left out; NaN for blocks of hardly anything else."""
    import numpy as np

    result = np.empty(len(values))
    step = max(1, (1 << 22) // values.shape[1])
    for at in range(0, len(values), step):
        part = values[at : at + step]
        exponents = ((part >> part.dtype.type(shift)) & part.dtype.type(mask)).astype(np.float32)
        exponents[(part << part.dtype.type(1)) == 0] = np.nan
        exponents.sort(axis=1)  # NaN last
        filled = np.count_nonzero(~np.isnan(exponents), axis=1)
        rows = np.arange(len(part))
        low = exponents[rows, np.maximum(filled // 4, 0).clip(max=exponents.shape[1] - 1)]
        high = exponents[rows, (3 * filled // 4).clip(max=exponents.shape[1] - 1)]
        result[at : at + step] = np.where(filled >= _FEWEST_ELEMENTS, high - low, np.nan)
    return result
