"""Rows of one value, blocks of zeros, and blocks that are there twice: what a tensor has by design, or by an accident of storage.

Hardly any row or block of ordinary weights is a candidate: the first and the last value of a row tell, or the first eight bytes
of a block, so that memory is not read another time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 512
"""The smallest unit that disks and file systems write."""

_AT_A_TIME = 1 << 13
"""Candidates that are looked at together: four megabytes of blocks."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Counts of one tensor.

    Attributes:
        constant_rows: Slices along the first dimension that hold one value only, of more than one element.
        zero_blocks: Whole runs of 512 bytes, from the first byte on, that are zero.
        repeated_blocks: Such runs that are the same as an earlier one, those of one value left out.
    """

    constant_rows: int = 0
    zero_blocks: int = 0
    repeated_blocks: int = 0


def patterns_of(raw: NDArray[Any], rows: int) -> Patterns:
    """Returns the counts of elements in C order.

    Args:
        raw: Their codes, as unsigned integers.
        rows: Size of the first dimension.
    """
    return Patterns(_constant_rows(raw, rows), *_blocks(raw))


def _constant_rows(raw: NDArray[Any], rows: int) -> int:
    import numpy as np

    if rows < 1 or len(raw) % rows or len(raw) < 2 * rows:
        return 0
    table = raw.reshape(rows, -1)
    candidates = np.flatnonzero(table[:, 0] == table[:, -1])
    step = max(1, (_AT_A_TIME * BLOCK_BYTES) // max(1, table.shape[1] * raw.itemsize))
    return sum(
        int(np.count_nonzero((some == some[:, :1]).all(axis=1)))
        for at in range(0, len(candidates), step)
        for some in [table[candidates[at : at + step]]]
    )


def _blocks(raw: NDArray[Any]) -> tuple[int, int]:
    import numpy as np

    content = raw.view(np.uint8)
    words = content[: len(content) // BLOCK_BYTES * BLOCK_BYTES].view(np.uint64).reshape(-1, BLOCK_BYTES // 8)
    first = words[:, 0].copy()
    empty = np.flatnonzero(first == 0)
    zeros = sum(int(np.count_nonzero(~words[empty[at : at + _AT_A_TIME]].any(axis=1))) for at in range(0, len(empty), _AT_A_TIME))
    ordered = np.sort(first)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return zeros, 0
    candidates = np.flatnonzero(np.isin(first, twice))
    seen = np.concatenate([_folded(words[candidates[at : at + _AT_A_TIME]]) for at in range(0, len(candidates), _AT_A_TIME)])
    return zeros, len(seen) - len(np.unique(seen, axis=0))


def _folded(blocks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Two numbers for each block that differ where the blocks do, but for one case in 2^128; blocks of one word are left out."""
    import numpy as np

    varied = blocks[(blocks != blocks[:, :1]).any(axis=1)]
    factors = np.random.default_rng(0).integers(1, 1 << 63, (varied.shape[1], 2), dtype=np.uint64) | np.uint64(1)
    mixed = varied ^ (varied >> np.uint64(29))
    return np.stack([(mixed * factors[:, place]).sum(axis=1, dtype=np.uint64) for place in range(2)], axis=1)
