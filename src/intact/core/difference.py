"""One disagreement between what was found and what is expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from intact.core.tensor import TensorInfo

DifferenceKind = Literal["missing", "unexpected", "shape", "dtype", "tie"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement about one key.

    Attributes:
        kind: `missing` (expected, not found), `unexpected` (found, not expected), `shape`, `dtype`, or `tie` (one tensor
            in the model, several with different bytes behind them in the file).
        key: The key it is about, on the side that has it.
        found: What the container holds, where it holds something.
        expected: What the model wants, where it wants something.
    """

    kind: DifferenceKind
    key: str
    found: TensorInfo | None = None
    expected: TensorInfo | None = None

    @property
    def mark(self) -> tuple[str, str]:
        """What makes two differences the same one: kind and key."""
        return (self.kind, self.key)
