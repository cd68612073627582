"""What the values of one tensor are like, in figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of one tensor.

    Attributes:
        elements: How many there are.
        nan: How many are no number.
        positive_inf: How many are infinite and positive.
        negative_inf: How many are infinite and negative.
        zeros: How many are zero, of either sign.
        denormal: How many are smaller than the smallest normal number of their dtype, and not zero.
        minimum: Of the finite ones; NaN where there are none.
        maximum: Of the finite ones; NaN where there are none.
        mean: Of the finite ones.
        std: Standard deviation of the finite ones.
        fits: A narrower dtype that holds every value exactly (`bfloat16` before `float16`, `float32` for float64); "" where none
            does, and for constants.
        constant_rows: Slices along the first dimension that hold one value only, of more than one element.
        zero_blocks: Whole runs of 512 bytes, from the first byte on, that are zero.
        repeated_blocks: Such runs that are the same as an earlier one, those of one value left out.
        histogram: How many of a sample of the finite ones fall into each of equal steps from minimum to maximum; empty where
            there is no such range.
        digest: XXH3-128 of the bytes in C order, little-endian, in hexadecimal.
    """

    elements: int
    nan: int = 0
    positive_inf: int = 0
    negative_inf: int = 0
    zeros: int = 0
    denormal: int = 0
    minimum: float = float("nan")
    maximum: float = float("nan")
    mean: float = float("nan")
    std: float = float("nan")
    fits: str = ""
    constant_rows: int = 0
    zero_blocks: int = 0
    repeated_blocks: int = 0
    histogram: tuple[int, ...] = ()
    digest: str = ""

    @property
    def finite(self) -> int:
        """How many are finite."""
        return self.elements - self.nan - self.positive_inf - self.negative_inf
