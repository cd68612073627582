"""The model registers a tensor only when it is first used.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.keys import leaf_of
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, example, some
from intact.repairs.place import Place

CODE = "arch/lazy-uninitialized"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields keys whose owner's class registers that very name outside of its constructor."""
    keys = tuple(d.key for d in facts.of_kind("unexpected") if _lazily_registered(facts, d.key))
    if not keys:
        return
    owners = {owner.class_name for key in keys if (owner := facts.expected.module_of(key))}
    yield Finding(
        CODE,
        "error",
        f"{some(keys)} {'is' if len(keys) == 1 else 'are'} in the file, and a fresh `{sorted(owners)[0]}` registers "
        f"{'it' if len(keys) == 1 else 'them'} only when first used",
        keys,
        {"classes": sorted(owners)},
        tuple(example(facts.found.tensors[key], None) for key in keys[:3]),
        "the buffer exists in a model that has run and not in one that was just built",
        LOSS_FREE,
        Place(keys, "register"),
        frozenset(("unexpected", key) for key in keys),
    )


def _lazily_registered(facts: Facts, key: str) -> bool:
    owner = facts.expected.module_of(key)
    return owner is not None and leaf_of(key) in owner.lazy_names


RULE = Rule(CODE, detect, page=__doc__ or "")
