"""The model's own loading code takes the keys as they are.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example
from intact.repairs.rename import Rename

CODE = "arch/custom-loader"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the renames that the model's own hooks would make."""
    if not facts.of_kind("missing") or not facts.of_kind("unexpected"):
        return
    migration = facts.migrate(facts.found)
    if migration is None or not migration.renames:
        return
    found, expected = facts.found.tensors, facts.expected.tensors
    pairs = tuple((a, b) for a, b in migration.renames.items() if a in found and b in expected and a != b and b not in found)
    if not pairs or any(found[a].shape != expected[b].shape for a, b in pairs):
        return
    yield Finding(
        CODE,
        "info",
        f"the model's own loading code renames {count(len(pairs), 'key')}: `{pairs[0][0]}` becomes `{pairs[0][1]}`",
        tuple(a for a, _ in pairs),
        {"renames": dict(pairs)},
        tuple(example(found[a], expected[b]) for a, b in pairs[:3]),
        "the model registers hooks for checkpoints of its older versions",
        "",
        Rename(pairs),
        frozenset(mark for a, b in pairs for mark in (("unexpected", a), ("missing", b))),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
