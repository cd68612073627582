"""A tensor that the model needs is a plain attribute, so that it is neither saved nor loaded.

## Cause

`self.indices = torch.randint(…)` is an attribute like any other: it is not in the state dict, does not follow `.to()`, and in
a new object it is drawn anew. The weights are loaded and meet another wiring. The same happens to Parameters in a plain list,
to statistics that `forward` gathers in an attribute, to what a method such as `fit` sets, and to numpy arrays and lists of
random numbers. Where a tensor comes from is read from the source of the class: what the constructor computes from its
arguments comes back by itself, and what `forward` overwrites each time is nobody's state; neither is reported.

## Example

```python file="wiring.py"
import torch
from torch import nn


class Wiring(nn.Module):
    def __init__(self, inputs, gates):
        super().__init__()
        self.indices = torch.randint(0, inputs, (2, gates))  # drawn anew in every object
        self.weight = nn.Parameter(torch.randn(gates))

    def forward(self, x):
        return x[:, self.indices[0]] * x[:, self.indices[1]] * self.weight
```

```python
import intact
from wiring import Wiring

model = Wiring(8, 4)
report = intact.audit(model)
```

## Fix

```python
indices = model.indices
del model.indices
model.register_buffer("indices", indices)  # in the class: self.register_buffer("indices", torch.randint(…))
report = intact.audit(model)
```

## Look-alike

```python file="mask.py"
import torch
from torch import nn


class Masked(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.mask = torch.tril(torch.ones(length, length))  # the same in every object of this length
        self.score = nn.Linear(length, length)

    def forward(self, x):
        self.last = self.score(x) * self.mask  # overwritten each time
        return self.last
```

```python
from mask import Masked

model = Masked(4)
model(torch.ones(1, 4))
```

## Source

- https://github.com/ligerlac/torchlogix/pull/23
- https://github.com/chaiyujin/glow-pytorch/pull/15
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.inventory import Item
from intact.core.rule import Facts, Rule
from intact.core.wording import count
from intact.losses import graded, loss, sizes

CODE = "arch/unregistered-tensor"
_NOUNS = {
    "tensor": ("tensor", "tensors"),
    "array": ("numpy array", "numpy arrays"),
    "numbers": ("list of numbers", "lists of numbers"),
}


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tensors, arrays and lists of numbers in plain attributes that a new object would not have."""
    for items in graded(facts, "tensor", "array", "numbers"):
        first = items[0]
        kinds = {item.kind for item in items}
        number = sum(len(item.tensors) for item in items)
        what = count(number, *(_NOUNS[first.kind] if len(kinds) == 1 else _NOUNS["tensor"]))
        be = "is a plain attribute" if number == 1 else "are plain attributes"
        perhaps = "" if first.grade == "lost" else ", and a new object may not have it"
        yield loss(
            CODE,
            items,
            f"{what} of `{first.owner_class}`, as `{first.path}`, {be} and would not be saved{perhaps}: {sizes(items)}",
            f"of `{first.path}`: {first.evidence}",
            _fix(first),
        )


def _fix(item: Item) -> str:
    if item.class_name == "Parameter":
        held = "nn.ParameterList" if item.path.endswith("]") else "an attribute by itself, or nn.ParameterDict"
        return f"keep Parameters in {held}"
    if "requires gradients" in item.evidence:
        return f"make it a Parameter: `self.{item.name} = nn.Parameter(…)`"
    value = "…" if item.kind == "tensor" else "torch.as_tensor(…)"
    return f'register it: `self.register_buffer("{item.name}", {value})`'


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
