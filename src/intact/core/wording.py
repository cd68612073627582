"""How reports put tensors, counts and names into words; one way for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intact.core.finding import Example
    from intact.core.tensor import TensorInfo


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape as reports print it: `[64, 3, 7, 7]`."""
    return f"[{', '.join(map(str, shape))}]"


def tensor_text(tensor: TensorInfo | None, key: str | None = None) -> str:
    """Returns one tensor as reports print it: key, dtype, shape; "" for none."""
    if tensor is None:
        return ""
    layout = "" if tensor.layout == "strided" else f" {tensor.layout}"
    return f"{key or tensor.key}  {tensor.dtype} {shape_text(tensor.shape)}{layout}"


def example(found: TensorInfo | None, expected: TensorInfo | None) -> Example:
    """Returns one line of evidence."""
    from intact.core.finding import Example  # who only counts and lists has no use for the records

    return Example(tensor_text(found), tensor_text(expected))


def count(number: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun: `1 key`, `122 keys`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def some(names: Iterable[str], limit: int = 3) -> str:
    """Returns the first names in backticks and a count of the rest."""
    listed = list(names)
    shown = ", ".join(f"`{name}`" for name in listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit:,} more"


def place(path: str) -> str:
    """Returns a path in backticks, and the root in words: its path is empty."""
    return f"`{path}`" if path else "the top level"


LOSS_FREE = "loss-free repair: `intact.load_into` applies it, `intact repair` writes a corrected copy"


def by_permission(code: str, loss: str) -> str:
    """Returns the help of a lossy repair: what is lost, and the user's word that allows it."""
    return f'{loss}; if that is meant, say so with allow=["{code}"] (command: --allow {code})'
