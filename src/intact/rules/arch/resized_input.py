"""The first layer takes another number of inputs.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/resized-input"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the input has another number of channels or features",
        cause="the model is built for another number of input channels or features",
        loss="the layer keeps the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
