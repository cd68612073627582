"""The file has tensors that the model has no place for.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, count, example, some
from intact.repairs.drop import Drop

CODE = "arch/unexpected-key"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields every unexpected key, for want of a better explanation."""
    mine = facts.of_kind("unexpected")
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    yield Finding(
        CODE,
        "error",
        f"{count(len(keys), 'key')} of the file {'is' if len(keys) == 1 else 'are'} not in the model: {some(keys)}",
        keys,
        {"of": len(facts.found.tensors)},
        tuple(example(d.found, None) for d in mine[:3]),
        "the file was saved from a model with modules that this one does not have",
        by_permission(CODE, f"{count(len(keys), 'tensor')} of the file {'is' if len(keys) == 1 else 'are'} not used"),
        Drop(keys),
        frozenset(d.mark for d in mine),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
