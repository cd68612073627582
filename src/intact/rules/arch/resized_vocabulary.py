"""The vocabulary has another size.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import copy_common, resized

CODE = "arch/resized-vocabulary"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the vocabulary has another size",
        cause="tokens were added to or removed from the vocabulary between saving and loading",
        loss="common rows are copied, further rows of the model stay fresh, further rows of the file are dropped",
        step=copy_common,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
