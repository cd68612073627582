"""Keys that are one tensor in the model are not so in the file.

## Cause

The model ties two names to one tensor, such as the embedding and the head of a language model. A format that stores shared
memory once (safetensors) keeps one of the names and drops the other, which torch then calls missing, although its values are
there. Or the file holds both names with different values, because the model that was saved did not tie them; then torch keeps
whichever it copies last. The first loses nothing and is repaired; the second has to be decided.

Before a save an audit says which tensors a fresh model would tie and this one no longer does, and which share only part of their
memory, so that they are written twice and are two after loading.

## Example

```python
import torch
from safetensors.torch import save_model
from torch import nn

import intact


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lm_head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.lm_head.weight = self.embed.weight


net, path = Language(), "model.safetensors"
save_model(net, path)  # one of the two names is left out
model = Language()
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)
assert model.lm_head.weight is model.embed.weight  # still tied
original = net.state_dict()  # both names
```

## Look-alike

```python
# Momentum contrast starts with two encoders that hold the same values; they are equal, not tied.
query, momentum = nn.Linear(4, 4), nn.Linear(4, 4)
momentum.load_state_dict(query.state_dict())
path, model = "moco.pth", nn.ModuleDict({"query": nn.Linear(4, 4), "momentum": nn.Linear(4, 4)})
torch.save(nn.ModuleDict({"query": query, "momentum": momentum}).state_dict(), path)
```

## Source

- https://github.com/huggingface/transformers/issues/30202
- https://github.com/google-deepmind/gemma/issues/8
- https://github.com/huggingface/accelerate/pull/2875
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, by_permission, count, example, some
from intact.losses import graded, loss
from intact.repairs.tie import Tie

CODE = "arch/tied-weights"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tied keys that the file leaves out, holds twice with equal bytes, or holds twice with different bytes."""
    if not facts.expected.ties:
        return
    yield from _left_out(facts)
    unfit = {d.key for d in facts.of_kind("shape")}
    ties = [(d.key, d.expected.key) for d in facts.of_kind("tie") if d.expected is not None]
    held_twice = [pair for pair in ties if unfit.isdisjoint(pair)]  # what does not fit by itself cannot be tied yet
    equal = [pair for pair in held_twice if _same(facts, *pair)]
    kept = [pair for pair in equal if not facts.found.tensors[pair[0]].source]
    if kept:
        yield replace(_equal(kept), incidental=True)  # the model's own tensor on both sides, and nothing in the file
    if len(equal) > len(kept):
        yield _equal([pair for pair in equal if pair not in kept])
    unequal = [pair for pair in held_twice if pair not in equal]
    if unequal:
        yield _unequal(facts, unequal)


def _same(facts: Facts, key: str, giver: str) -> bool:
    """Whether both hold the same bytes; without a source both are the model's own tensor."""
    a, b = facts.found.tensors[key].source, facts.found.tensors[giver].source
    return facts.same_bytes(a, b) if a and b else a == b


def _left_out(facts: Facts) -> Iterator[Finding]:
    found = facts.found.tensors
    pairs = []
    for group in facts.expected.ties:
        giver = next((key for key in group if key in found), None)
        if giver is not None:
            pairs += [(key, giver) for key in group if key not in found]
    if pairs:
        yield Finding(
            CODE,
            "error",
            f"{some(key for key, _ in pairs)} {'is' if len(pairs) == 1 else 'are'} left out of the file: the model ties "
            f"{'it' if len(pairs) == 1 else 'them'} to {some(dict.fromkeys(giver for _, giver in pairs))}",
            tuple(key for key, _ in pairs),
            {"ties": dict(pairs)},
            tuple(example(found[giver], facts.expected.tensors[key]) for key, giver in pairs[:3]),
            "memory that several keys share was written once, as safetensors does; torch calls the other keys missing",
            LOSS_FREE,
            Tie(tuple(pairs)),
            frozenset(("missing", key) for key, _ in pairs),
        )


def _equal(pairs: list[tuple[str, str]]) -> Finding:
    return Finding(
        CODE,
        "info",
        f"{count(len(pairs), 'tied key')} {'stands' if len(pairs) == 1 else 'stand'} twice in the file, with equal bytes: "
        f"{some(key for key, _ in pairs)}",
        tuple(key for key, _ in pairs),
        {"ties": dict(pairs)},
        (),
        "shared memory was written once for every key",
        "",
        Tie(tuple(pairs)),
        frozenset(("tie", key) for key, _ in pairs),
    )


def _unequal(facts: Facts, pairs: list[tuple[str, str]]) -> Finding:
    found = facts.found.tensors
    key, giver = pairs[0]
    return Finding(
        CODE,
        "error",
        f"the model has one tensor for `{key}` and `{giver}`, and the file two different ones"
        + (f" ({count(len(pairs), 'such pair')})" if len(pairs) > 1 else ""),
        tuple(key for key, _ in pairs),
        {"ties": dict(pairs)},
        tuple(example(found[key], found[giver]) for key, giver in pairs[:3]),
        "the model that was saved did not tie them, or they drifted apart; torch keeps whichever it copies last",
        by_permission(CODE, f"keeping `{giver}` drops the values of `{key}`"),
        Tie(tuple(pairs), lossless=False),
        frozenset(("tie", key) for key, _ in pairs),
    )


def survive(facts: Facts) -> Iterator[Finding]:
    """Yields pairs of a live model that a fresh one has as one tensor, and pairs that share part of their memory."""
    for items in graded(facts, "untied"):
        first = items[0]
        yield loss(
            CODE,
            items,
            f"`{first.path}` and `{first.partner}` are two tensors, and a fresh `{first.owner_class}` has one for both"
            + (f" ({count(len(items), 'such pair')})" if len(items) > 1 else ""),
            f"one of them was replaced after construction; {first.evidence}",
            f"tie them again (`{first.path} = {first.partner}`), or build the model without the tie",
            step=Tie(tuple((item.path, item.partner) for item in items), lossless=False),
        )
    for items in graded(facts, "overlap"):
        first = items[0]
        yield loss(
            CODE,
            items,
            f"`{first.path}` and `{first.partner}` share part of their memory, and would be two separate tensors after loading"
            + (f" ({count(len(items), 'such pair')})" if len(items) > 1 else ""),
            "one is a view into the other, or both are views into one larger tensor",
            "register the larger tensor once, and make the views when they are used",
        )


RULE = Rule(CODE, detect, page=__doc__ or "")
AUDIT = Rule(CODE, survive, "audit", page=__doc__ or "")
