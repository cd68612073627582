"""The model's dtype differs and holds every value of the file exactly.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import castings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example
from intact.repairs.cast import Cast

CODE = "dtype/widening"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts that lose nothing, as information."""
    mine = [casting.difference for casting in castings(facts) if casting.code == CODE]
    pairs = sorted({(d.found.dtype, d.expected.dtype) for d in mine if d.found and d.expected})
    if not mine:
        return
    yield Finding(
        CODE,
        "info",
        f"{count(len(mine), 'tensor')} cast exactly: {', '.join(f'{a} to {b}' for a, b in pairs)}, no value changes",
        tuple(d.key for d in mine),
        {"casts": [list(pair) for pair in pairs]},
        tuple(example(d.found, d.expected) for d in mine[:3]),
        "the file was saved in another dtype than the model has",
        "",
        Cast(tuple((d.key, d.expected.dtype) for d in mine if d.expected), lossless=True),
        frozenset(d.mark for d in mine),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
