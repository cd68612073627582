"""Two tensors of two checkpoints compared block by block, in any two dtypes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from intact.containers.streams import Streams, is_plain
from intact.core.container import TensorRecord
from intact.core.dtype import dtype_named, holds_every_value
from intact.core.tensor_difference import TensorDifference
from intact.elements import narrow, widen

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ELEMENTS = 1 << 18
_ROUNDINGS = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
"""Narrower dtypes that files take a detour through, the widest first."""


def compare_tensors(
    keys: tuple[str, str], first: TensorRecord, second: TensorRecord, streams: tuple[Streams, Streams]
) -> TensorDifference:
    """Returns how two tensors of one shape differ.

    Args:
        keys: Of the first and the second.
        first: In the first checkpoint.
        second: In the second.
        streams: The bytes of both checkpoints.

    Raises:
        CannotRead: The bytes of one are not there.
    """
    dtypes = (first.dtype, second.dtype)
    common = {"first_key": keys[0], "dtypes": dtypes, "shape": second.shape, "elements": second.elements}
    one, other = dtype_named(first.dtype), dtype_named(second.dtype)
    plain = is_plain(first) and is_plain(second) and one is not None and other is not None
    if not plain or one is None or other is None or one.bits < 8 or other.bits < 8 or "complex" in (one.kind, other.kind):
        return TensorDifference(keys[1], likeness="unread", **common)  # type: ignore[arg-type]
    a, b = streams[0].content(first), streams[1].content(second)
    if first.dtype == second.dtype and _same_bytes(a, b):
        return TensorDifference(keys[1], likeness="equal", **common)  # type: ignore[arg-type]
    tally = _Tally(first.dtype, second.dtype)
    for at in range(0, second.elements, BLOCK_ELEMENTS):
        end = min(at + BLOCK_ELEMENTS, second.elements)
        tally.add(_block(a, at, end, first.dtype), _block(b, at, end, second.dtype))
    return tally.result(keys[1], common)


def _same_bytes(first: memoryview, second: memoryview) -> bool:
    """Compares block by block, so that the first difference ends it."""
    import numpy as np

    step = 1 << 22
    for at in range(0, len(first), step):
        one, other = (np.frombuffer(content[at : at + step], np.uint8) for content in (first, second))
        whole = len(one) // 8 * 8
        if not np.array_equal(one[:whole].view("u8"), other[:whole].view("u8")) or not np.array_equal(one[whole:], other[whole:]):
            return False
    return True


def _block(content: memoryview, begin: int, end: int, dtype: str) -> NDArray[Any]:
    import numpy as np

    known = dtype_named(dtype)
    assert known is not None
    width = known.itemsize_bytes
    return widen(np.frombuffer(content[begin * width : end * width], f"u{width}"), known)


class _Tally:
    """What was found so far."""

    def __init__(self, first: str, second: str) -> None:
        self._changed = 0
        self._largest = 0.0
        self._moved = self._length = 0.0
        one, other = dtype_named(first), dtype_named(second)
        assert one is not None
        assert other is not None
        candidates = [second] if first != second and not holds_every_value(second, first) else []
        candidates += [first] if first != second and not holds_every_value(first, second) else []
        if one.kind == other.kind == "float":
            candidates += [name for name in _ROUNDINGS if name not in candidates and name not in (first, second)]
        self._roundings = dict.fromkeys(candidates, True)

    def add(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        """Adds a block of both."""
        import numpy as np

        one, other = (v if v.dtype.kind in "fc" and v.dtype.itemsize >= 4 else v.astype(np.float64) for v in (first, second))
        differs = one != other
        count = int(np.count_nonzero(differs))
        square = float(np.dot(one, one))
        if not math.isfinite(square):
            square = float(np.square(np.where(np.isfinite(one), one, 0), dtype=np.float64).sum())
        self._length += square
        if count:
            differs &= ~(np.isnan(one) & np.isnan(other))
            count = int(np.count_nonzero(differs))
        if not count:
            return
        self._changed += count
        if count < len(one):
            one, other = one[differs], other[differs]
        wide = one.dtype != np.float32 or other.dtype != np.float32
        with np.errstate(all="ignore"):
            distance = np.abs(one.astype(np.float64) - other) if wide else np.abs(one - other)
        finite = distance[np.isfinite(distance)]
        self._largest = max(self._largest, float(finite.max()) if len(finite) == len(distance) else math.inf)
        self._moved += float(np.dot(finite, finite))
        for name in [name for name, fits in self._roundings.items() if fits]:
            self._roundings[name] = _is_rounding(one, other, name)

    def result(self, key: str, common: dict[str, Any]) -> TensorDifference:
        """Returns the figures."""
        if not self._changed:
            return TensorDifference(key, likeness="exact", **common)
        rounding = next((name for name, fits in self._roundings.items() if fits), "")
        relative = math.sqrt(self._moved / self._length) if self._length else math.inf
        return TensorDifference(
            key,
            likeness="rounded" if rounding else "different",
            rounding=rounding,
            changed=self._changed,
            largest=self._largest,
            relative=relative,
            **common,
        )


def _is_rounding(first: NDArray[Any], second: NDArray[Any], dtype: str) -> bool:
    """Whether one of two blocks is the other after a cast to a dtype and back."""
    import numpy as np

    known = dtype_named(dtype)
    if known is None:
        return False
    if len(first) > 256 and not _is_rounding(first[:256], second[:256], dtype):
        return False
    for one, other in ((first, second), (second, first)):
        back = widen(np.ascontiguousarray(narrow(one.astype(np.float32), known)).view(f"u{known.itemsize_bytes}"), known)
        if bool(np.array_equal(back.astype(np.float64), other.astype(np.float64), equal_nan=True)):
            return True
    return False
