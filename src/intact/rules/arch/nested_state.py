"""The weights lie one or more levels down.

## Cause
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from intact.alignment import Placing, find_place
from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.repairs.unnest import Unnest, relative

CODE = "arch/nested-state"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the place of the model's state dict, where the checkpoint has places."""
    if not any(tensor.nest for tensor in facts.found.tensors.values()):
        return
    placing = find_place(facts.found, facts.expected, facts.at)
    if placing is None:
        return
    if placing.at is None:
        yield _ambiguous(facts, placing)
    elif placing.at not in facts.found.modules:
        yield _one(facts, placing, placing.at)


def _one(facts: Facts, placing: Placing, at: str) -> Finding:
    step = Unnest(at, placing.aside)
    held = step.predict(facts.found).tensors
    keys = tuple(key for key in facts.found.tensors if relative(key, at) is not None and key not in placing.aside)
    fits = next((key for key in keys if (relative(key, at) or "") in facts.expected.tensors), keys[0])
    short = relative(fits, at) or ""
    where = f"`{at}`" if at else "the top level, beside nested entries"
    return Finding(
        CODE,
        "error",
        f"the model's weights are {count(len(keys), 'tensor')} under {where}, not the whole checkpoint",
        keys,
        {"at": at, "tensors": len(keys), "beside": _beside(facts.found, at, placing.aside), "averaged": list(placing.averaged)},
        (example(facts.found.tensors[fits], facts.expected.tensors.get(short)),),
        "a whole training state was saved, and the weights are one entry of it",
        LOSS_FREE,
        step,
        frozenset(d.mark for d in facts.differences if d.kind == "unexpected" or (d.kind == "missing" and d.key in held)),
        incidental=not facts.original.extras and len(keys) == len(facts.found.tensors),
    )


def _ambiguous(facts: Facts, placing: Placing) -> Finding:
    return Finding(
        CODE,
        "error",
        f"{count(len(placing.candidates), 'place')} hold weights that fit the model equally well: {some(placing.candidates, 8)}",
        tuple(facts.found.tensors),
        {"candidates": list(placing.candidates), "averaged": list(placing.averaged)},
        (),
        "the checkpoint holds several sets of weights, and neither names nor shapes tell which is meant",
        f'name the one you want: at="{placing.candidates[0]}" (command: --at {placing.candidates[0]})',
        None,
        frozenset(d.mark for d in facts.differences),
        ambiguous=True,
    )


def _beside(found: Description, at: str, aside: tuple[str, ...], most: int = 50) -> Mapping[str, Any]:
    """What else holds tensors, by place and number."""
    gone = frozenset(aside)
    rest: Counter[str] = Counter()
    for key, tensor in found.tensors.items():
        if relative(key, at) is None or key in gone:
            rest[tensor.nest or key] += 1
    return dict(rest.most_common(most))


RULE = Rule(CODE, detect, page=__doc__ or "")
