"""Complex values lose their imaginary part.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/complex-to-real"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(facts, CODE, "lose their imaginary part", "the model has a real tensor where the file has a complex one")


RULE = Rule(CODE, detect, page=__doc__ or "")
