"""Values are too small for the model's dtype and become zero.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/underflow"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts,
        CODE,
        "become zero or are rounded",
        "the model's dtype has no number between these values and zero; torch casts without a word",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
