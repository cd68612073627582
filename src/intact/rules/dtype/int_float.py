"""Integers and floating numbers that do not fit one another.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/int-float"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts,
        CODE,
        "are not the same number afterwards",
        "one side counts in integers and the other in floating numbers; torch casts without a word",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
