"""The model registers a tensor only when it is first used.

## Cause

A buffer or parameter is registered in `forward`, or when a property is first read, and not in the constructor. A model that
has run has it and saves it; a model that was just built does not, and calls its own checkpoint's key unexpected. Running the
model once before loading helps, and is easily forgotten; `strict=False` drops the value. The source of the class says that the
name is its own, so the tensor is registered from the file.

Before a save an audit says that a fresh model will not know such a key, and names the parameters of lazy layers that have not
run yet: they have no values, and there is nothing to save.

## Example

```python file="monitor.py"
import torch
from torch import nn


class Monitor(nn.Module):
    def __init__(self):
        super().__init__()
        self.scorer = nn.Linear(4, 1)

    def forward(self, x):
        scores = self.scorer(x)
        if not hasattr(self, "baseline"):  # the first batch sets the baseline
            self.register_buffer("baseline", scores.detach().mean(0))
        return scores - self.baseline
```

```python
import intact
from monitor import Monitor

net, path = Monitor(), "monitor.pth"
net(torch.ones(2, 4))
torch.save(net.state_dict(), path)  # with `baseline`
model = Monitor()  # has not run yet
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)  # registers the buffer with the value of the file
original = net.state_dict()
# in the class: self.register_buffer("baseline", torch.zeros(1)) in the constructor
```

## Look-alike

```python
# A lazy layer of torch's own: the key is there from the start, and its shape comes from the file.
path, model = "lazy.pth", nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 2))
torch.save(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)).state_dict(), path)
```

## Source

- https://github.com/pytorch/rl/issues/1594
- https://github.com/pfnet/pytorch-pfn-extras/issues/181
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.keys import leaf_of
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.losses import graded, loss
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


def survive(facts: Facts) -> Iterator[Finding]:
    """Yields parameters without a shape, and saved tensors that a fresh model does not have before it has run."""
    for items in graded(facts, "lazy"):
        yield loss(
            CODE,
            items,
            f"{count(len(items), 'lazy parameter')}, as `{items[0].path}` of `{items[0].owner_class}`, "
            f"{'has' if len(items) == 1 else 'have'} no shape and no values yet: there is nothing to save",
            "a lazy layer takes its shape from the first batch, and the model has not run",
            "run the model once before saving",
        )
    for items in graded(facts, "late"):
        yield loss(
            CODE,
            items,
            f"{some(item.path for item in items)} {'is' if len(items) == 1 else 'are'} saved, and a fresh "
            f"`{items[0].owner_class}` does not have {'it' if len(items) == 1 else 'them'} before it has run",
            f"of `{items[0].path}`: {items[0].evidence}, and the constructor does not",
            f'register it in the constructor: `self.register_buffer("{items[0].name}", torch.zeros(…))`',
        )


RULE = Rule(CODE, detect, page=__doc__ or "")
AUDIT = Rule(CODE, survive, "audit", page=__doc__ or "")
