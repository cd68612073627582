"""Values are rounded to the model's narrower dtype.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/narrowing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(facts, CODE, "are rounded", "the model has fewer digits than the file; torch rounds without a word")


RULE = Rule(CODE, detect, page=__doc__ or "")
