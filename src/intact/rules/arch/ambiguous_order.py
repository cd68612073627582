"""Numbered layers stand under other numbers, and equal shapes do not tell which is which.

## Cause

In a `Sequential` the positions are the names, and layers without weights are counted too. Activations, dropout or pooling were
added, removed or moved into `forward`, so the same layers now stand under other numbers. Some of the new names also exist in
the file, as names of other layers of the same shape: with `strict=False` those load into the wrong place without a word. Names
and shapes do not prove an order, so none is guessed.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
path = "net.pth"
torch.save(net.state_dict(), path)  # layers 0, 2, 4

# The activations moved into forward(): layers 0, 1, 2. `2` is in the file, and is another layer.
model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
report = intact.check(path, model)
```

## Fix

```python
# Build the model as it was saved; what has no weights keeps its place in the count.
model = nn.Sequential(nn.Linear(8, 8), nn.Identity(), nn.Linear(8, 8), nn.Identity(), nn.Linear(8, 8))
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
# Other layers without weights, and the same numbers: nothing has moved, however alike the layers are.
path = "dropout.pth"
torch.save(nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 8)).state_dict(), path)
model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
```

## Source

- https://github.com/pytorch/pytorch/issues/6584
- https://discuss.pytorch.org/t/torchvision-vgg16-pretrained-model-layer-naming/108873
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment import Choice, find_renames
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example, place, some
from intact.numbering import Family, families, splits

CODE = "arch/ambiguous-order"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields families of as many layers on both sides, under overlapping numbers, of which several have equal shapes."""
    marks = {d.mark for d in facts.differences if d.kind != "dtype"}
    known = False
    for family in families(facts):
        if len(family.found) == len(family.expected) and family.shared and _repeats(family):
            known = True
            yield _finding(facts, family, marks)
    if not known and marks and not any(tensor.nest for tensor in facts.found.tensors.values()):
        renames = find_renames(facts.found, facts.expected)
        for choice in renames.choices if renames is not None else ():
            if len(choice.found) == len(choice.expected):
                yield _open(facts, choice, marks)


def _open(facts: Facts, choice: Choice, marks: set[tuple[str, str]]) -> Finding:
    """Modules that hold the same shapes, under names that do not tell which is which."""
    sides = (*choice.found, *choice.expected)
    paths = frozenset(sides)
    inside = [mark for mark in sorted(marks) if _is_within(mark[1], paths)]
    keys = tuple(dict.fromkeys(key for _, key in inside))
    return Finding(
        CODE,
        "error",
        f"{some(choice.found)} in the file and {some(choice.expected)} in the model hold the same shapes, and which is which is "
        f"open: {choice.why}",
        keys,
        {"found": list(choice.found), "expected": list(choice.expected), "why": choice.why},
        tuple(example(facts.found.tensors.get(key), facts.expected.tensors.get(key)) for key in keys[:3]),
        "the modules have other names in the file, and nothing but their order could tell them apart",
        "rename them in one of the two, or load each by itself",
        None,
        frozenset(inside),
        ambiguous=True,
    )


def _is_within(key: str, paths: frozenset[str]) -> bool:
    while key and key not in paths:
        key = key.rpartition(".")[0]
    return key in paths


def _repeats(family: Family) -> bool:
    makes = [tuple(sorted(layer.items())) for layer in family.found.values()]
    return len(set(makes)) < len(makes)


def _finding(facts: Facts, family: Family, marks: set[tuple[str, str]]) -> Finding:
    inside = [mark for mark in sorted(marks) if any(path == family.path for path, _, _ in splits(mark[1]))]
    keys = tuple(dict.fromkeys(key for _, key in inside))
    return Finding(
        CODE,
        "error",
        f"{place(family.path)} has {count(len(family.found), 'layer')} on both sides under other numbers, and equal shapes do "
        "not tell which is which",
        keys,
        {"path": family.path, "found": sorted(family.found), "expected": sorted(family.expected)},
        tuple(example(facts.found.tensors.get(key), facts.expected.tensors.get(key)) for key in keys[:3]),
        "layers without weights were added or removed, so that the numbers moved; names that agree may be other layers",
        "copy the layers in the order in which the model runs them, if that is the order they were saved in",
        None,
        frozenset(inside),
        ambiguous=True,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
