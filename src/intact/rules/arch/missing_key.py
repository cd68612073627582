"""The model wants tensors that the file does not have.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, count, example, some
from intact.repairs.keep import Keep

CODE = "arch/missing-key"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields every missing key, for want of a better explanation."""
    mine = facts.of_kind("missing")
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    yield Finding(
        CODE,
        "error",
        f"{count(len(keys), 'key')} of the model {'is' if len(keys) == 1 else 'are'} not in the file: {some(keys)}",
        keys,
        {"of": len(facts.expected.tensors), "unexpected": [d.key for d in facts.of_kind("unexpected")][:20]},
        tuple(example(None, d.expected) for d in mine[:3]),
        "the file was saved from a model without these modules, or only a part of it was saved",
        by_permission(CODE, f"{count(len(keys), 'tensor')} keep the model's fresh values"),
        Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in mine if d.expected)),
        frozenset(d.mark for d in mine),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
