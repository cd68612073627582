"""How the values of two tensors differ, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Likeness = Literal["equal", "exact", "rounded", "different", "unread"]
"""`equal`: every bit. `exact`: every number, in another dtype. `rounded`: one is the other cast. `unread`: not compared."""


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """One tensor in two checkpoints.

    Attributes:
        key: In the second checkpoint.
        first_key: In the first.
        dtypes: In the first and the second.
        shape: Of both.
        likeness: How much they agree.
        rounding: Dtype whose rounding explains the difference; "" where none does.
        changed: Elements that are other numbers.
        elements: Of both.
        largest: Largest absolute difference.
        relative: Length of the difference over the length of the first, as vectors.
    """

    key: str
    first_key: str
    dtypes: tuple[str, str]
    shape: tuple[int, ...]
    likeness: Likeness
    rounding: str = ""
    changed: int = 0
    elements: int = 0
    largest: float = 0.0
    relative: float = 0.0
