"""Tensors of the same name have other shapes.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/shape-mismatch"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="shapes differ",
        cause="the model is built with other sizes (width, kernel, heads) than the one that was saved",
        loss="these tensors keep the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
