"""One pass over all values of a checkpoint: counts, range, mean and spread of every tensor.

Tensors are read in blocks that stay in the cache of a core, so that memory is read once whatever is counted; several threads
share the tensors. Types that numpy lacks are widened block by block.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128

from intact.containers.streams import Streams, is_plain
from intact.core.container import Container, TensorRecord
from intact.core.dtype import Dtype, dtype_named
from intact.core.statistics import Statistics
from intact.elements import widen
from intact.errors import IntactError
from intact.files.digests import in_shares
from intact.statistics_blocks import FAST, Blocks, Figures
from intact.statistics_patterns import patterns_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20
"""Of a block: small enough for the cache of a core, and large enough that threads seldom wait for each other."""
FIRST_ELEMENTS = 64
"""Elements of a block that are asked for a narrower dtype before all are."""
SAMPLE_ELEMENTS = 4096
"""About as many values of a tensor are put into its histogram."""
STEPS = 24
"""Of a histogram."""
_SMALLEST_NORMAL = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}
_SUPPORTED = ("float", "int", "bool", "complex")


def surveyed(container: Container) -> dict[str, Statistics]:
    """Returns the figures of every tensor that has plain values; tensors that are one memory are read once.

    Args:
        container: Open.
    """
    keys = list(container.describe().tensors)
    records = {key: container.record(key) for key in keys}
    rows: dict[object, TensorRecord] = {}
    for record in records.values():
        known = dtype_named(record.dtype)
        if is_plain(record) and known is not None and known.kind in _SUPPORTED and known.itemsize_bytes * 8 == known.bits:
            rows.setdefault(record.memory, record)
    found: dict[object, Statistics] = {}

    def look(share: Sequence[tuple[object, TensorRecord]]) -> None:
        streams = Streams(container, giving_back=False)
        for memory, record in share:
            with suppress(IntactError):  # what cannot be read is told by whoever reads it
                found[memory] = statistics_of(streams.content(record), record.dtype, record.shape[0] if record.shape else 1)

    in_shares(list(rows.items()), [_size_bytes(record) for record in rows.values()], look, "reading all values")
    return {key: found[record.memory] for key, record in records.items() if record.memory in found}


def _size_bytes(record: TensorRecord) -> int:
    known = dtype_named(record.dtype)
    return record.elements * (known.itemsize_bytes if known else 1)


def statistics_of(content: memoryview, dtype: str, rows: int = 1) -> Statistics:
    """Returns the figures of values that lie in C order, little-endian.

    Args:
        content: The bytes.
        dtype: As torch spells it.
        rows: Size of the first dimension.
    """
    import numpy as np

    known = dtype_named(dtype)
    assert known is not None
    raw = np.frombuffer(content, np.dtype(f"u{known.itemsize_bytes}") if known.itemsize_bytes <= 8 else np.dtype("u8"))
    step = BLOCK_BYTES // raw.itemsize
    total, narrower = _Total(_SMALLEST_NORMAL.get(dtype, 0.0)), _Narrower(dtype)
    fast = Blocks(dtype, min(step, len(raw))) if dtype in FAST and sys.byteorder == "little" else None
    for at in range(0, len(raw), step):
        block = raw[at : at + step]
        narrower.look(block)
        even = len(block) - (len(block) % 2 if known.itemsize_bytes == 2 else 0)
        figures = fast.figures(block[:even]) if fast is not None and even else None
        if figures is None:
            total.add(_numbers(block, known))
        else:
            total.include(figures)
            total.add(_numbers(block[even:], known))
    found = total.result()
    fits = narrower.found if found.elements and found.minimum != found.maximum else ""
    patterns = asdict(patterns_of(raw, rows if known.itemsize_bytes <= 8 else 0))
    histogram = _histogram(raw, known, found)
    return replace(found, fits=fits, histogram=histogram, digest=xxh3_128(content).hexdigest(), **patterns)


def _histogram(raw: NDArray[Any], known: Dtype, found: Statistics) -> tuple[int, ...]:
    """Counts of values taken an odd number of elements apart, so that no column of a matrix is all there is."""
    import numpy as np

    if known.kind == "complex" or not math.isfinite(found.minimum) or found.minimum == found.maximum:
        return ()
    sample = _numbers(np.ascontiguousarray(raw[:: max(1, len(raw) // SAMPLE_ELEMENTS) | 1]), known)
    half = sample[np.isfinite(sample)].astype(np.float64) / 2  # halves, because the whole range may be no float64
    span = found.maximum / 2 - found.minimum / 2
    if span <= 0.0:
        return ()
    places = ((half - found.minimum / 2) / span * STEPS).astype(np.int64).clip(0, STEPS - 1)
    return tuple(np.bincount(places, minlength=STEPS).tolist())


class _Narrower:
    """The dtypes that have held every value so far; ordinary weights end it with their first few."""

    def __init__(self, dtype: str) -> None:
        self._left = {"float32": ["bfloat16", "float16"], "float64": ["float32"]}.get(dtype, [])

    @property
    def found(self) -> str:
        """The one that is named first, "" where none is left."""
        return self._left[0] if self._left else ""

    def look(self, block: NDArray[Any]) -> None:
        """Strikes out what does not hold a block."""
        for part in (block[:FIRST_ELEMENTS], block):
            if not self._left:
                return
            self._left = [dtype for dtype in self._left if _holds(part, dtype)]


def _holds(block: NDArray[Any], dtype: str) -> bool:
    import numpy as np

    if dtype == "bfloat16":
        return not bool((block & 0xFFFF).any())
    wide, narrow = (np.float32, np.float16) if dtype == "float16" else (np.float64, np.float32)
    values = block.view(wide)
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(narrow).astype(wide)
    return bool(((back == values) | (np.isnan(back) & np.isnan(values))).all())


def _numbers(raw: NDArray[Any], known: Dtype) -> NDArray[Any]:
    """Widens a block; complex numbers become their parts, truth values become bytes."""
    import numpy as np

    if known.kind == "complex":
        part = {"complex64": "f4", "complex128": "f8", "complex32": "f2"}[known.name]
        return raw.view(part)
    values = _half_table()[raw] if known.name == "float16" else widen(raw, known)
    return values.view(np.uint8) if values.dtype == np.bool_ else values


@cache
def _half_table() -> NDArray[np.float32]:
    """The value of each of the 65,536 codes of float16: looking them up is ten times faster than numpy's conversion."""
    import numpy as np

    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


class _Total:
    """What was counted so far."""

    def __init__(self, smallest_normal: float) -> None:
        self._smallest = smallest_normal
        self._count = self._nan = self._positive = self._negative = self._zeros = self._denormal = 0
        self._minimum, self._maximum = math.inf, -math.inf
        self._sum = self._squares = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Adds a block."""
        import numpy as np

        self._count += len(values)
        nonzero = int(np.count_nonzero(values))
        self._zeros += len(values) - nonzero
        if not len(values):
            return
        low, high = values.min(), values.max()
        if values.dtype.kind == "f" and not (math.isfinite(low) and math.isfinite(high)):
            values = self._finite_of(values)
            if not len(values):
                return
            low, high = values.min(), values.max()
        self._minimum, self._maximum = min(self._minimum, float(low)), max(self._maximum, float(high))
        if self._smallest and nonzero:
            small = int(np.count_nonzero(np.abs(values) < self._smallest))
            self._denormal += small - (len(values) - int(np.count_nonzero(values)))
        wide = values if values.dtype.kind == "f" else values.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(wide.sum())
            self._sum += total if math.isfinite(total) else float(wide.sum(dtype=np.float64))
            square = float(np.dot(wide, wide))
            self._squares += square if math.isfinite(square) else float(np.square(wide.astype(np.float64)).sum())

    def include(self, figures: Figures) -> None:
        """Adds a block of ordinary numbers."""
        self._count += figures.elements
        self._zeros += figures.zeros
        self._denormal += figures.denormal
        self._minimum, self._maximum = min(self._minimum, figures.minimum), max(self._maximum, figures.maximum)
        self._sum += figures.total
        self._squares += figures.squares

    def _finite_of(self, values: NDArray[Any]) -> NDArray[Any]:
        import numpy as np

        self._nan += int(np.isnan(values).sum())
        self._positive += int(np.isposinf(values).sum())
        self._negative += int(np.isneginf(values).sum())
        finite: NDArray[Any] = values[np.isfinite(values)]
        return finite

    def result(self) -> Statistics:
        """Returns the figures."""
        finite = self._count - self._nan - self._positive - self._negative
        if not finite:
            return Statistics(self._count, self._nan, self._positive, self._negative, self._zeros)
        mean = self._sum / finite
        variance = self._squares / finite - mean * mean
        return Statistics(
            self._count,
            self._nan,
            self._positive,
            self._negative,
            self._zeros,
            self._denormal,
            self._minimum,
            self._maximum,
            mean,
            math.sqrt(max(0.0, variance)) if math.isfinite(variance) else math.inf,
        )
