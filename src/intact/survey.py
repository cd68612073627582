"""What a cast would do to the values of a tensor, learned by reading its bytes once; numpy, never torch.

Values are read in chunks of bounded size through strides, so that a view is surveyed as its tensor and a file of any size fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, TensorRecord
from intact.core.dtype import Dtype, dtype_named
from intact.core.rule import CastLoss
from intact.elements import narrow, unsigned, widen
from intact.errors import CannotRead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OVERLAP_ELEMENTS = 1 << 26
"""Elements that a view may have beyond the bytes behind it, as sliding windows do; a file can declare any number of them."""

CHUNK_ELEMENTS = 1 << 18
"""Elements looked at in one go: 1 MiB as float32, so that a dozen passes over them stay in the cache of most machines."""


def cast_loss(container: Container, key: str, dtype: str) -> CastLoss | None:
    """Returns the figures of casting one tensor of a file to another dtype, as torch would cast it.

    Args:
        container: The open checkpoint.
        key: A key that its description lists.
        dtype: The dtype to cast to, as torch spells it.

    Returns:
        The figures, or None where a dtype is unknown, the layout is not strided, or the bytes are not there.
    """
    whole = container.record(key)
    record = _without_repeats(whole)
    to = dtype_named(dtype)
    if record.layout != "strided" or to is None or dtype_named(record.dtype) is None or to.kind == "quantized":
        return None
    if record.attributes.get("conj") or record.attributes.get("neg"):
        return None
    if _overlaps_much(record):
        return None
    tally = _Tally(CastLoss(key, record.dtype, dtype, record.elements))
    try:
        for begin, values in _chunks(container, record):
            _count(tally, begin, values, record, to)
    except CannotRead:
        return None
    return _repeated(tally.loss, whole.elements // max(1, record.elements))


def equal_bytes(container: Container, first: str, second: str) -> bool:
    """Tells whether two tensors of a file agree in dtype, shape and every bit."""
    import numpy as np

    a, b = container.record(first), container.record(second)
    if (a.dtype, a.shape, a.layout) != (b.dtype, b.shape, b.layout) or a.layout != "strided":
        return False
    if a.memory == b.memory:
        return True
    a, b = _without_repeats(a, b.stride), _without_repeats(b, a.stride)
    if _overlaps_much(a) and _overlaps_much(b):
        return False
    pairs = zip(_raw_chunks(container, a), _raw_chunks(container, b), strict=True)
    return all(np.array_equal(_bits(x), _bits(y)) for x, y in pairs)


def rounds_to(container: Container, wide: str, narrow_key: str) -> bool:
    """Tells whether a tensor, cast to the dtype of another one of the same shape, is that one bit for bit.

    Args:
        container: The open checkpoint.
        wide: Key of the tensor that is cast.
        narrow_key: Key of the other one.
    """
    import numpy as np

    a, b = container.record(wide), container.record(narrow_key)
    from_, to = dtype_named(a.dtype), dtype_named(b.dtype)
    if a.shape != b.shape or from_ is None or to is None or not a.layout == b.layout == "strided":
        return False
    if _overlaps_much(a) or _overlaps_much(b):
        return False
    pairs = zip(_raw_chunks(container, a), _raw_chunks(container, b), strict=True)
    return all(np.array_equal(_bits(narrow(widen(x, from_), to)), _bits(y)) for x, y in pairs)


def values_equal_after_cast(container: Container, key: str, dtype: str, held: NDArray[Any]) -> bool:
    """Tells whether a cast of the file's values is what the model holds already, bit for bit.

    Args:
        container: The open checkpoint.
        key: A key that its description lists.
        dtype: The dtype of the model's tensor.
        held: The bytes of the model's tensor as uint8, in C order, in the byte order of this machine.
    """
    import numpy as np

    record = container.record(key)
    to, from_ = dtype_named(dtype), dtype_named(record.dtype)
    if record.layout != "strided" or to is None or from_ is None or held.nbytes != record.elements * to.itemsize_bytes:
        return False
    for begin, raw in zip(_begins(record), _raw_chunks(container, record), strict=True):
        cast = narrow(widen(raw, from_), to) if to != from_ else raw
        there = held.reshape(-1)[begin * to.itemsize_bytes : (begin + raw.size) * to.itemsize_bytes]
        if not np.array_equal(_bits(cast), there):
            return False
    return True


def _without_repeats(record: TensorRecord, other: tuple[int, ...] | None = None) -> TensorRecord:
    """The tensor with each element of an expanded dimension once; with another's strides, where both are expanded."""
    both = zip(record.stride, other or record.stride, strict=True)
    once = [step == 0 and beside == 0 for step, beside in both]
    shape = tuple(min(size, 1) if repeated else size for size, repeated in zip(record.shape, once, strict=True))
    return replace(record, shape=shape)


def _overlaps_much(record: TensorRecord) -> bool:
    """Whether there are many more elements than bytes behind them, so that reading would take time out of all proportion."""
    begin, end = record.span_bytes
    return record.elements > OVERLAP_ELEMENTS + end - begin


def _repeated(loss: CastLoss, times: int) -> CastLoss:
    """The figures of a tensor whose every element stands there so many times."""
    counts = ("elements", "changed", "rounded", "overflowed", "underflowed", "truncated", "imaginary")
    return replace(loss, **{name: times * getattr(loss, name) for name in counts})


@dataclass(slots=True)
class _Tally:
    """Figures so far, and how bad the example among them is."""

    loss: CastLoss
    worst: tuple[int, float] = field(default=(-1, -1.0))


def _begins(record: TensorRecord) -> range:
    return range(0, max(1, record.elements), CHUNK_ELEMENTS)


def _chunks(container: Container, record: TensorRecord) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields position of the first element and values, widened exactly to a type that numpy has."""
    known = dtype_named(record.dtype)
    assert known is not None
    for begin, raw in zip(_begins(record), _raw_chunks(container, record), strict=True):
        yield begin, widen(raw, known)


def _raw_chunks(container: Container, record: TensorRecord) -> Iterator[NDArray[Any]]:
    """Yields the elements in C order as they are stored, in the byte order of this machine, flat, in chunks."""
    import numpy as np

    view = _strided(container, record)
    if view.flags.c_contiguous:
        flat = view.reshape(-1)
        for begin in _begins(record):
            yield _native(flat[begin : begin + CHUNK_ELEMENTS], record)
        return
    for begin in _begins(record):
        places = np.arange(begin, min(begin + CHUNK_ELEMENTS, record.elements))
        yield _native(view[np.unravel_index(places, record.shape)], record)


def _strided(container: Container, record: TensorRecord) -> NDArray[Any]:
    import numpy as np

    known = dtype_named(record.dtype)
    assert known is not None
    width = known.itemsize_bytes
    kind = unsigned(known)
    if record.storage is None or record.elements == 0:
        return np.zeros(record.shape, kind)
    begin, end = record.span_bytes
    stored = container.storage_bytes(record.storage)
    if begin < 0 or end > len(stored) or min(record.stride, default=0) < 0:
        raise CannotRead("a tensor reaches beyond its storage", code="file/storage-bounds", path=container.source.path)
    data = np.frombuffer(stored[begin:end], np.uint8)
    strides = [step * width for step in record.stride]
    view: NDArray[Any] = np.ndarray(record.shape, kind, data.data, 0, strides)
    return view


def _native(raw: NDArray[Any], record: TensorRecord) -> NDArray[Any]:
    import sys

    import numpy as np

    raw = np.ascontiguousarray(raw)
    if record.storage is None or record.storage.byteorder == sys.byteorder:
        return raw
    if record.dtype.startswith("complex"):
        half = raw.dtype.itemsize // 2
        return np.asarray(raw.view(f"u{half}").byteswap().view(raw.dtype))
    return np.asarray(raw.byteswap())


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(np.ascontiguousarray(values).reshape(-1).view(np.uint8))


def _count(tally: _Tally, begin: int, values: NDArray[Any], record: TensorRecord, to: Dtype) -> None:
    """Adds one chunk to the figures."""
    import numpy as np

    with np.errstate(all="ignore"):
        after = widen(np.ascontiguousarray(narrow(values, to)).view(unsigned(to)), to)
        if values.dtype.kind == after.dtype.kind == "f" and _count_roundings(tally, begin, values, after, record, to):
            return
        same = _same(values, after)
        if bool(same.all()):
            return
        at = np.flatnonzero(~same)
        _tally_changes(tally, begin, at, values[at], after[at], record, to)


def _count_roundings(
    tally: _Tally, begin: int, before: NDArray[Any], after: NDArray[Any], record: TensorRecord, to: Dtype
) -> bool:
    """Adds a chunk of finite numbers that stay finite, as nearly all are, in few passes; False, and nothing, for any other."""
    import numpy as np

    error = np.abs(before - after)  # exact: a number and its rounding are close together
    largest = float(error.max(initial=0))
    if not np.isfinite(largest) or (to.name == _SATURATING and float(np.abs(before).max(initial=0)) > _SATURATES_FROM):
        return False
    if largest == 0:
        return True
    vanished = (after == 0) & (before != 0)
    changed, underflowed = int(np.count_nonzero(error)), int(np.count_nonzero(vanished))
    tally.loss = replace(
        tally.loss,
        changed=tally.loss.changed + changed,
        rounded=tally.loss.rounded + changed - underflowed,
        underflowed=tally.loss.underflowed + underflowed,
        largest_absolute=max(tally.loss.largest_absolute, largest),
        largest_relative=max(tally.loss.largest_relative, float(np.fmax.reduce(error / np.abs(before)))),
    )
    worst = int(np.argmax(np.where(vanished, error, -1.0) if underflowed else error))
    _keep_worst(tally, (2 if underflowed else 0, float(error[worst])), begin + worst, before[worst], after[worst], record)
    return True


def _same(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether values are the same number, compared without rounding either side; NaN stays NaN."""
    import numpy as np

    if before.dtype.kind in "iub" and after.dtype.kind in "fc":
        back = np.trunc(after.real)
        top = 2.0 ** (8 * before.dtype.itemsize) if before.dtype.kind == "u" else 2.0**63
        fits = np.isfinite(back) & (back < top) & (back >= -(2.0**63))
        kind = np.uint64 if before.dtype == np.uint64 else np.int64
        return np.asarray(fits & (np.where(fits, back, 0).astype(kind) == before.astype(kind)) & (after.real == back))
    if before.dtype.kind in "fc" and after.dtype.kind in "iub":
        return np.asarray(before == after.astype(np.float64)) & ~_lossy_back(before, after)
    if before.dtype.kind in "iu" and after.dtype.kind in "iu":
        return np.asarray((before.astype(np.int64) == after.astype(np.int64)) & ((before < 0) == (after < 0)))
    return np.asarray((before == after) | (np.isnan(before) & np.isnan(after)))


def _lossy_back(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a large integer only seems equal because comparing rounded it."""
    import numpy as np

    limit = 2.0 ** (8 * after.dtype.itemsize - (after.dtype.kind == "i")) if after.dtype.kind in "iu" else 2.0
    return np.asarray((before.real >= limit) | (before.real < (-limit if after.dtype.kind == "i" else 0)))


def _tally_changes(
    tally: _Tally, begin: int, at: NDArray[Any], before: NDArray[Any], after: NDArray[Any], record: TensorRecord, to: Dtype
) -> None:
    import numpy as np

    finite = np.isfinite(before)
    imaginary = np.iscomplexobj(before) & (to.kind != "complex") & (before.imag != 0)
    overflowed = _overflowed(before.real if to.kind != "complex" else before, after, to) & ~imaginary
    underflowed = (after == 0) & finite & ~overflowed & ~imaginary & (np.abs(before) < 1)
    truncated = np.zeros(before.shape, bool)
    if to.kind in ("int", "uint", "bool") and before.dtype.kind in "fc":
        truncated, underflowed = ~overflowed & ~imaginary, np.zeros(before.shape, bool)
    rounded = ~(imaginary | overflowed | underflowed | truncated)
    wide = np.complex128 if np.iscomplexobj(before) else np.float64
    error = np.abs(before.astype(wide) - after.astype(wide))
    error = np.where(np.isfinite(error), error, np.inf)
    bounded = error[np.isfinite(error)]
    relative = (error / np.maximum(np.abs(before.astype(wide)), 1e-300))[np.isfinite(error)]
    loss = tally.loss
    tally.loss = replace(
        loss,
        changed=loss.changed + at.size,
        rounded=loss.rounded + int(rounded.sum()),
        overflowed=loss.overflowed + int(overflowed.sum()),
        underflowed=loss.underflowed + int(underflowed.sum()),
        truncated=loss.truncated + int(truncated.sum()),
        imaginary=loss.imaginary + int(imaginary.sum()),
        largest_absolute=max(loss.largest_absolute, float(bounded.max(initial=0))),
        largest_relative=max(loss.largest_relative, float(relative.max(initial=0))),
    )
    gravity = np.select([imaginary, overflowed, underflowed, truncated], [4, 3, 2, 1], 0)
    gravest = int(gravity.max())
    worst = int(np.argmax(np.where(gravity == gravest, error, -1.0)))
    _keep_worst(tally, (gravest, float(error[worst])), begin + int(at[worst]), before[worst], after[worst], record)


def _keep_worst(tally: _Tally, gravity: tuple[int, float], place: int, before: Any, after: Any, record: TensorRecord) -> None:
    """Makes a change the example where none so far was graver."""
    import numpy as np

    if gravity > tally.worst:
        tally.worst = gravity
        index = tuple(int(n) for n in np.unravel_index(place, record.shape)) if record.shape else ()
        tally.loss = replace(tally.loss, example=(index, _plain(before), _plain(after)))


_SATURATING = "float8_e4m3fn"
_SATURATES_FROM = 464.0
"""Larger numbers are not rounded to the largest float8_e4m3fn, 448, but cut off at it."""


def _overflowed(before: NDArray[Any], after: NDArray[Any], to: Dtype) -> NDArray[np.bool_]:
    import numpy as np

    if to.kind in ("int", "uint"):
        low, high = (-(2**to.digits), 2**to.digits) if to.kind == "int" else (0, 2**to.digits)
        if before.dtype.kind == "u":
            return np.asarray(before > np.uint64(high - 1))
        if before.dtype.kind == "f":
            return np.asarray(~(np.isfinite(before) & (np.trunc(before) >= low) & (before < float(high))))
        return np.asarray((before < low) | (before > min(high - 1, 2**63 - 1)))
    saturated = (np.abs(before) > _SATURATES_FROM) if to.name == _SATURATING else False
    return np.asarray((np.isfinite(before) & ~np.isfinite(after)) | saturated)


def _plain(value: Any) -> float | int | str:
    item = value.item()
    return item if isinstance(item, int | float) else str(item)
