"""The checkpoint holds no tensor.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "arch/empty-state"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where nothing was found and something is expected, or nothing is known of what is expected."""
    if facts.found.tensors or (facts.has_model and not facts.expected.tensors):
        return
    extras = [extra.path for extra in facts.original.extras]
    yield Finding(
        CODE,
        "error",
        "the checkpoint holds no tensor"
        + (f", and the model wants {count(len(facts.expected.tensors), 'tensor')}" if facts.has_model else ""),
        tuple(facts.expected.tensors),
        {"entries": extras[:50], "objects": [foreign.name for foreign in facts.original.foreign][:50]},
        (),
        f"what was saved is {some(extras)}" if extras else "an empty state dict was saved",
        "look at the code that saved it: an empty module, a list of modules, or a gathered state of another process",
        None,
        frozenset(d.mark for d in facts.differences),
    )


RULE = Rule(CODE, detect, page=__doc__ or "", needs_model=False)
