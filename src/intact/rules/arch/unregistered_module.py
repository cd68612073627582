"""A layer stands in a plain list, mapping or object, where no module registers it, so that it is never saved.

## Cause

`self.convs = [nn.Conv2d(…), …]` looks like a part of the model and is none: torch registers a module only when it is an
attribute of another module by itself, or stands in `nn.ModuleList`, `nn.ModuleDict` or `nn.Sequential`. What it does not
register is not in `parameters()`, so that the optimizer never moves it, and not in the state dict. The checkpoint loads
without a word, and the layers are whatever the constructor draws. Names that lead to a registered module as well are no loss
and not reported.

## Example

```python
import torch
from torch import nn

import intact


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = [nn.Conv2d(1, 1, (size, 1)) for size in (1, 2, 3)]  # a list of Python's
        self.head = nn.Linear(3, 1)


model = Net()
report = intact.audit(model)
```

## Fix

```python
model.convs = nn.ModuleList(model.convs)  # in the class: self.convs = nn.ModuleList([…])
report = intact.audit(model)
```

## Look-alike

```python
class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.order = [self.first, self.second]  # other names for what is registered
        self.activations = [nn.ReLU(), nn.GELU()]  # nothing in them to save


model = Shortcut()
```

## Source

- https://github.com/pytorch/pytorch/issues/52972
- https://github.com/Lightning-AI/pytorch-lightning/issues/2941
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intact.core.finding import Finding
from intact.core.inventory import Item
from intact.core.rule import Facts, Rule
from intact.core.wording import count
from intact.losses import graded, loss, sizes

CODE = "arch/unregistered-module"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields modules that hold state and are registered nowhere."""
    for items in graded(facts, "module"):
        first = items[0]
        be = "is" if len(items) == 1 else "are"
        yield loss(
            CODE,
            items,
            f"{count(len(items), 'module')} of `{first.owner_class}`, as `{first.path}` (`{first.class_name}`), {be} registered "
            f"nowhere and would not be saved: {sizes(items)}",
            "a module is registered where it is an attribute by itself, or stands in an nn.ModuleList, ModuleDict or Sequential"
            + (f"; {first.evidence}" if first.evidence else ""),
            _fix(items),
        )


def _fix(items: Sequence[Item]) -> str:
    name = items[0].name
    step = items[0].path.rpartition(name)[2][:1]
    if step == "[":
        return f"make the list an nn.ModuleList: `self.{name} = nn.ModuleList([…])`"
    if step == ".":
        return f"make what holds it an nn.ModuleDict or a module of its own: `self.{name} = nn.ModuleDict({{…}})`"
    return f"assign it as any attribute: `self.{name} = …` registers it"


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
