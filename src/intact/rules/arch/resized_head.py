"""The last layer has another number of outputs.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/resized-head"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the head has another number of outputs",
        cause="the model was trained for another number of classes or outputs, and the last layer was replaced",
        loss="the head keeps the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
