"""The weights that are loaded are halves, and the float32 weights that they were rounded from lie beside them.

## Cause

Training in half precision keeps two copies: the half weights that the forward pass uses, and float32 master weights that the
optimizer adds its small steps to. A checkpoint often holds both, the halves as the state dict and the masters as a list in the
optimizer's state. Loading the halves into a float32 model goes through, widens exactly, and gives up the digits that the masters
have: the loss jumps where training goes on. intact finds the masters by their values: each rounds to the half that is loaded.

## Example

```python
import torch
from torch import nn

path, model = "checkpoint_12.pt", nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
masters = [parameter.detach().clone() for parameter in net.parameters()]
torch.save({"state_dict": net.half().state_dict(), "optimizer": {"fp32_from_fp16": [masters]}}, path)
```

Also: arch/nested-state

## Fix

```python
import intact

state = intact.read(path)
(masters,) = state["optimizer"]["fp32_from_fp16"]
names = [name for name, _ in model.named_parameters()]
original = dict(zip(names, masters, strict=True))  # in the order of the optimizer's parameters
torch.save(original, "full.pt")
intact.load_into(model, "full.pt")
```

## Look-alike

```python
path, model = "adam.pt", nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
moments = [torch.rand_like(parameter) for parameter in model.parameters()]  # of the same shapes, and other values
torch.save({"state_dict": model.half().state_dict(), "optimizer": {"exp_avg": moments}}, path)
model = model.float()
```

## Source

- https://github.com/NVIDIA/apex/issues/388
- https://github.com/NVIDIA/apex/issues/665
- https://github.com/NVIDIA/apex/issues/480
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import count

CODE = "dtype/master-weights-present"

LEAST_SHARE = 0.9
"""Share of the halves that have to have a master; the rest may be layers that are not trained."""

TRIES_LIMIT = 20_000
"""Pairs of tensors whose values are compared; most differ in their first block."""

_HALVES, _WIDE = frozenset({"float16", "bfloat16"}), frozenset({"float32", "float64"})
_NUMBER = re.compile(r"(?<=\[)\d+(?=\])|(?<=\.)\d+(?=[.\[]|$)|^\d+(?=[.\[]|$)")
"""Positions in sequences, and numbers that name the members of a mapping."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields places of the file whose tensors round to the halves that are loaded, and say more than these."""
    halves = _halves(facts)
    loaded = {source for tensor in facts.found.tensors.values() for source in tensor.sources}
    if sum(tensor.elements for tensor in halves.values()) < 2:
        return
    tries = TRIES_LIMIT
    for place, keys in _places(facts.original.tensors.values(), loaded).items():
        pairs, tries = _pairs(facts, halves, keys, tries)
        losses = [facts.measure(master, halves[half].dtype) for half, master in pairs.items()]
        changed = sum(loss.changed for loss in losses if loss is not None)
        if len(pairs) >= LEAST_SHARE * len(halves) and changed:
            yield _finding(facts, place, pairs, changed)


def _halves(facts: Facts) -> dict[str, TensorInfo]:
    """Parameters that are halves in the file and wider in the model, by their key in the file, in the order of the model."""
    found, original = facts.found.tensors, facts.original.tensors
    wide = (key for key, t in facts.expected.tensors.items() if t.role != "buffer" and t.dtype in _WIDE and key in found)
    sources = (found[key].source for key in wide if not found[key].parts)
    return {key: original[key] for key in sources if key in original and original[key].dtype in _HALVES}


def _places(tensors: Iterable[TensorInfo], loaded: set[str]) -> dict[str, list[TensorInfo]]:
    """Wide tensors that are not loaded, by where they stand: lists by their place, slots of numbered states by their name too."""
    places: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        if tensor.dtype in _WIDE and tensor.key not in loaded and tensor.layout == "strided":
            place, leaf = _NUMBER.sub("*", tensor.nest), tensor.key[len(tensor.nest) :].lstrip(".")
            if "*" in place and not _NUMBER.search(leaf):
                place = f"{place}.{leaf}"
            places.setdefault(place, []).append(tensor)
    return places


def _pairs(facts: Facts, halves: dict[str, TensorInfo], masters: list[TensorInfo], tries: int) -> tuple[dict[str, str], int]:
    """Half to master, by shape and by what its values round to; the largest half is tried first, and decides whether to go on."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for tensor in masters:
        by_shape.setdefault(tensor.shape, []).append(tensor.key)
    pairs: dict[str, str] = {}
    order = sorted(halves.values(), key=lambda half: -half.elements)
    for number, half in enumerate(order):
        others = by_shape.get(half.shape, [])
        for key in others:
            tries -= 1
            if tries < 0:
                return {}, 0
            if facts.rounds_to(key, half.key):
                pairs[half.key] = key
                others.remove(key)
                break
        if number + 1 - len(pairs) > (1 - LEAST_SHARE) * len(halves):
            return {}, tries
    return pairs, tries


def _finding(facts: Facts, place: str, pairs: dict[str, str], changed: int) -> Finding:
    half, master = (facts.original.tensors[key] for key in next(iter(pairs.items())))
    total = sum(facts.original.tensors[key].elements for key in pairs)
    top = re.split(r"\[\*|\.\*", place)[0]
    return Finding(
        CODE,
        "warning",
        f"{master.dtype} master weights of {count(len(pairs), 'tensor')} lie unused under `{top}`: the {half.dtype} weights that "
        f"are loaded are their roundings, and differ from them in {changed:,} of {total:,} values",
        tuple(pairs),
        {"place": top, "masters": pairs, "changed": changed, "elements": total},
        cause="training in half precision keeps the weights twice, and the state dict holds the half copy",
        help=f"to train on, or for full precision, take what intact.read(path) gives under `{top}`; a list is in the order of "
        "the optimizer's parameters",
    )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "")
