"""Values are too large for the model's dtype.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/overflow"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts, CODE, "overflow", "the model's dtype has a smaller range than the values of the file; torch casts without a word"
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
