"""Figures of one block of ordinary numbers, in as few passes over the cache as numpy allows.

Most blocks of weights hold no infinity and nothing that is no number. Whether that is so, and the range, follows from the largest
and smallest codes; sixteen-bit floats are widened two at a time, as the halves of 32-bit words. A block that has anything special
is left to the general way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FAST = ("float32", "bfloat16", "float16")

_ROW = 512
"""Elements that are added up in 32 bits before sums go on in 64."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one block without special values.

    Attributes:
        elements: How many there are.
        zeros: Of either sign.
        denormal: Smaller than the smallest normal number, and not zero.
        minimum: Smallest value.
        maximum: Largest value.
        total: Their sum.
        squares: The sum of their squares.
    """

    elements: int
    zeros: int
    denormal: int
    minimum: float
    maximum: float
    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class _Half:
    """A sixteen-bit float: its code of infinity, and how far the smallest normal code lies above zero."""

    infinity: int
    normal: int


_HALVES = {"bfloat16": _Half(0x7F80, 0x0080), "float16": _Half(0x7C00, 0x0400)}


class Blocks:
    """Figures of blocks of one dtype, with memory that is used again for every block.

    Args:
        dtype: One of `FAST`.
        most: Elements of the largest block.
    """

    def __init__(self, dtype: str, most: int) -> None:
        import numpy as np

        self._dtype = dtype
        self._ones = np.ones(_ROW, np.float32)
        self._words = np.empty(0 if dtype == "float32" else most // 2 + 1, np.uint32)

    def figures(self, block: NDArray[Any]) -> Figures | None:
        """Returns the figures of a block, None where it has special values or sums that 32 bits do not hold.

        Args:
            block: Codes as unsigned integers; of sixteen-bit floats an even number.
        """
        with _quiet():
            return self._single(block) if self._dtype == "float32" else self._half(block)

    def _single(self, block: NDArray[Any]) -> Figures | None:
        import numpy as np

        values = block.view(np.float32)
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return None
        zeros, denormal = self._small(block, int(block.min()), int(block.view(np.int32).min()), 1 << 23)
        total, squares = self._sums(values)
        return _finite(Figures(len(block), zeros, denormal, low, high, total, squares))

    def _half(self, block: NDArray[Any]) -> Figures | None:
        import numpy as np

        half, signed = _HALVES[self._dtype], block.view(np.int16)
        most, highest = int(block.max()), int(signed.max())  # the negative one farthest from zero, and the largest positive one
        if highest >= half.infinity or most >= 0x8000 + half.infinity:
            return None
        least, lowest = int(block.min()), int(signed.min())
        zeros, denormal = self._small(block, least, lowest, half.normal)
        words = block.view(np.uint32)
        total = squares = 0.0
        for widened in (self._lower, self._upper):
            added, squared = self._sums(widened(words))
            total, squares = total + added, squares + squared
        low, high = (self._value(code) for code in (most if lowest < 0 else least, highest if highest >= 0 else lowest & 0xFFFF))
        return _finite(Figures(len(block), zeros, denormal, low, high, total, squares))

    def _small(self, block: NDArray[Any], least: int, lowest: int, normal: int) -> tuple[int, int]:
        """How many are zero, and how many are nearer to it than the smallest normal number.

        Args:
            block: Codes: a sign, and a magnitude in the bits below it.
            least: The smallest code as an unsigned number: of the positive ones, the nearest to zero.
            lowest: The smallest code as a signed number: of the negative ones, if there are any, the nearest to zero.
            normal: Magnitude of the smallest normal number.
        """
        import numpy as np

        sign = 1 << (block.itemsize * 8 - 1)
        if least >= normal and (lowest >= 0 or lowest + sign >= normal):
            return 0, 0
        magnitudes = block & (sign - 1)
        zeros = len(block) - int(np.count_nonzero(magnitudes))
        return zeros, int(np.count_nonzero(magnitudes < normal)) - zeros

    def _lower(self, words: NDArray[Any]) -> NDArray[np.float32]:
        import numpy as np

        words = np.left_shift(words, 16, out=self._words[: len(words)])
        wide: NDArray[np.float32] = words.view(np.float32) if self._dtype == "bfloat16" else _stretched(words, words)
        return wide

    def _upper(self, words: NDArray[Any]) -> NDArray[np.float32]:
        import numpy as np

        room = self._words[: len(words)]
        if self._dtype == "bfloat16":
            wide: NDArray[np.float32] = np.bitwise_and(words, 0xFFFF0000, out=room).view(np.float32)
            return wide
        return _stretched(words, room)

    def _sums(self, values: NDArray[np.float32]) -> tuple[float, float]:
        import numpy as np

        even = len(values) - len(values) % _ROW
        rows = values[:even].reshape(-1, _ROW) @ self._ones
        total = float(rows.sum(dtype=np.float64)) + float(values[even:].sum(dtype=np.float64))
        return total, float(np.dot(values, values))

    def _value(self, code: int) -> float:
        import numpy as np

        if self._dtype == "float16":
            return float(np.uint16(code).view(np.float16))
        return float(np.uint32(code << 16).view(np.float32))


def _stretched(words: NDArray[Any], room: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The float16 in the upper halves as float32: the exponent is moved into place, and made up for by a power of two."""
    import numpy as np

    moved = np.right_shift(words.view(np.int32), 3, out=room.view(np.int32)).view(np.uint32)  # three more copies of the sign
    values: NDArray[np.float32] = np.bitwise_and(moved, 0x8FFFE000, out=room).view(np.float32)
    values *= np.float32(2.0**112)
    return values


def _finite(figures: Figures) -> Figures | None:
    return figures if math.isfinite(figures.total) and math.isfinite(figures.squares) else None


def _quiet() -> Any:
    import numpy as np

    return np.errstate(over="ignore", invalid="ignore")
