"""File and model have different numbers of layers.

## Cause

The model was built with another depth than the one that was saved: the large variant's weights and the base variant's
configuration, a generator for another image size, a teacher cut down to a student. What both sides have fits exactly, which is
why `strict=False` seems to work; the rest of the file is dropped, or the rest of the model stays random, without a word. Where
a layer was inserted in the middle of layers of one shape, everything behind it moved, and nothing tells which layer is the new
one.

## Example

```python
import torch
from torch import nn

import intact


def encoder(depth):
    return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)) for _ in range(depth)))


net, path = encoder(depth=12), "large.pth"
torch.save(net.state_dict(), path)
model = encoder(depth=6)  # the base variant
report = intact.check(path, model)
```

## Fix

```python
model = encoder(depth=12)  # as many layers as the finding counts in the file
report = intact.load_into(model, path)
original = net.state_dict()
# if the first six are all you want: intact.load_into(encoder(depth=6), path, allow=["arch/layer-count"])
```

## Look-alike

```python
# Three entries against five, and two layers with weights on both sides under the same numbers.
path, model = "head.pth", nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
torch.save(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Dropout()).state_dict(), path)
```

## Source

- https://github.com/ming053l/DRCT/issues/16
- https://github.com/rosinality/stylegan2-pytorch/issues/26
- https://github.com/pytorch/pytorch/issues/6584
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, example, place
from intact.numbering import Family, Layers, families, splits
from intact.repairs.drop import Drop
from intact.repairs.keep import Keep

CODE = "arch/layer-count"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the numbered families that are longer on one side, layers of the same make being on both."""
    unequal = families(facts)
    if not unequal or facts.shard() is not None:
        return  # one file of a set has some of the layers
    marks = {d.mark for d in facts.differences if d.kind != "dtype"}
    plain = [family for family in unequal if _same_make(family)]
    moved = [family for family in unequal if family not in plain and _shifted(family)]
    if plain:
        yield from _plain(facts, plain, marks)
    for family in moved:
        yield _moved(facts, family, marks)


def _same_make(family: Family) -> bool:
    """Whether the layers on both sides agree, and the longer side only adds layers with the names of those."""
    shared = family.shared
    if not shared or any(family.found[i] != family.expected[i] for i in shared):
        return False
    if family.only_found and family.only_expected:
        return False
    longer = family.found if family.only_found else family.expected
    kinds = {frozenset(longer[i]) for i in shared}
    return all(frozenset(longer[i]) in kinds for i in family.only_found or family.only_expected)


def _shifted(family: Family) -> bool:
    """Whether a layer that disagrees on the one side stands at another index on the other, so that layers moved."""
    shorter, longer = (family.expected, family.found) if family.only_found else (family.found, family.expected)
    if family.only_found and family.only_expected:
        return False
    odd = [i for i in family.shared if shorter[i] != longer[i]]
    return bool(odd) and all(any(longer[j] == shorter[i] for j in longer if j > i) for i in odd)


def _numbers(listed: list[Family]) -> str:
    rows = [f"{place(family.path)} has {len(family.found):,} and the model {len(family.expected):,}" for family in listed]
    return "; ".join(rows[:3]) + (f"; and {len(rows) - 3} more" if len(rows) > 3 else "")


def _evidence(listed: list[Family]) -> dict[str, dict[str, object]]:
    return {
        f.path: {
            "found": len(f.found), "expected": len(f.expected), "only_found": f.only_found, "only_expected": f.only_expected
        }
        for f in listed
    }  # fmt: skip


def _plain(facts: Facts, listed: list[Family], marks: set[tuple[str, str]]) -> Iterator[Finding]:
    fresh = [k for f in listed for k in _keys(f.path, f.expected, f.only_expected) if ("missing", k) in marks]
    spare = [k for f in listed for k in _keys(f.path, f.found, f.only_found) if ("unexpected", k) in marks]
    expected, found = facts.expected.tensors, facts.found.tensors
    shorter = [family for family in listed if family.only_expected]
    longer = [family for family in listed if family.only_found]
    if fresh:
        yield Finding(
            CODE,
            "error",
            f"the file has fewer layers than the model: {_numbers(shorter)}",
            tuple(fresh),
            _evidence(shorter),
            tuple(example(None, expected[key]) for key in fresh[:3]),
            "the model is built with more layers than the one that was saved",
            by_permission(CODE, f"{len(fresh):,} tensors keep the model's fresh values"),
            Keep(tuple((key, expected[key].dtype, expected[key].shape) for key in fresh)),
            frozenset(("missing", key) for key in fresh),
        )
    if spare:
        yield Finding(
            CODE,
            "error",
            f"the file has more layers than the model: {_numbers(longer)}",
            tuple(spare),
            _evidence(longer),
            tuple(example(found[key], None) for key in spare[:3]),
            "the model is built with fewer layers than the one that was saved",
            by_permission(CODE, f"{len(spare):,} tensors of the file are not used"),
            Drop(tuple(spare)),
            frozenset(("unexpected", key) for key in spare),
        )


def _keys(path: str, layers: Layers, indices: list[int]) -> list[str]:
    return [f"{path}.{index}.{rest}" if path else f"{index}.{rest}" for index in indices for rest in layers[index]]


def _moved(facts: Facts, family: Family, marks: set[tuple[str, str]]) -> Finding:
    inside = [m for m in sorted(marks) if any(path == family.path for path, _, _ in splits(m[1]))]
    keys = tuple(dict.fromkeys(key for _, key in inside))
    side = "fewer" if len(family.found) < len(family.expected) else "more"
    return Finding(
        CODE,
        "error",
        f"the file has {side} layers than the model, and which is not told: {_numbers([family])}",
        keys,
        _evidence([family]),
        tuple(example(facts.found.tensors.get(key), facts.expected.tensors.get(key)) for key in keys[:3]),
        "positions are the names here: a layer was added or taken out, everything behind it moved, and layers of one shape "
        "cannot be told apart",
        "build the model with the layers that were saved, or copy the layers by hand: names and shapes do not say which is which",
        None,
        frozenset(inside),
        ambiguous=True,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
