"""The file is of another model.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example

CODE = "arch/class-differs"

LARGEST_SHARE = 0.1
"""Share of the smaller side's keys that may agree in key and shape by accident (`conv1.weight`, `fc.bias`)."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where hardly a key agrees, whatever the names were stripped of before."""
    found, expected = facts.found.tensors, facts.expected.tensors
    if not found or not expected:
        return
    agree = [k for k, wanted in expected.items() if k in found and (found[k].shape == wanted.shape or wanted.lazy)]
    if len(agree) > LARGEST_SHARE * min(len(found), len(expected)):
        return
    unexpected, missing = facts.of_kind("unexpected"), facts.of_kind("missing")
    if not missing and not facts.of_kind("shape"):
        return
    yield Finding(
        CODE,
        "error",
        f"the file is of another model: {len(agree):,} of {count(len(expected), 'key')} agree in name and shape",
        tuple(d.key for d in facts.differences),
        {"agree": agree, "found_tensors": len(found), "expected_tensors": len(expected), "found_classes": _classes(facts)},
        (
            *(example(d.found, None) for d in unexpected[:2]),
            *(example(None, d.expected) for d in missing[:2]),
        ),
        "it is the wrong file, the wrong class, or a class whose names were all changed",
        "check which model this file was saved from: `intact inspect` lists what is in it",
        None,
        frozenset(d.mark for d in facts.differences),
    )


def _classes(facts: Facts) -> list[str]:
    return sorted({module.class_name for module in facts.original.modules.values()})[:20]


RULE = Rule(CODE, detect, page=__doc__ or "")
