"""Tensors of the model are no numbers any more: they are full of nan.

## Cause

The loss diverged, a gradient overflowed in half precision, or a division by zero went through an optimizer step: after that
every weight it reached is nan, and stays so. Saving looks as always, and writes over the last checkpoint that was good. One
element of each tensor is looked at before a save, and where it is nan, all of them.

## Example

```python
import torch
from torch import nn

import intact

model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
for _ in range(4):
    model(torch.ones(1, 4)).square().sum().backward()
    optimizer.step()
report = intact.audit(model)
```

## Fix

```python
model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))  # start again from the last checkpoint that was good
report = intact.audit(model)
```

## Look-alike

```python
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))  # infinite, and meant so
        self.head = nn.Linear(4, 4)


model = Masked()
```

## Source

- https://github.com/AllanYiin/trident/pull/31
- https://github.com/facebookresearch/detectron2/issues/214
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some
from intact.losses import graded, loss

CODE = "value/nan"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tensors of a live model that are nan, those that are so as a whole by themselves."""
    for items in graded(facts, "nan"):
        whole = items[0].grade == "lost"
        registered = facts.inventory.registered if facts.inventory is not None else 0
        among = f" (the model has {count(registered, 'parameter')})" if whole else ""
        what = "nothing but nan" if items[0].evidence == "every value is nan" else f"nan: {items[0].evidence}"
        be = "holds" if len(items) == 1 else "hold"
        yield loss(
            CODE,
            items,
            f"{count(len(items), 'tensor')}{among}, as `{items[0].path}`, {be} {what}",
            "training diverged, or a value overflowed and was spread by the optimizer",
            "do not write over the last good checkpoint: go back to it, with a smaller step, clipped gradients or scaled losses",
            stops=False,
        )


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields tensors of a file that hold values that are no numbers."""
    mine = {key: row.nan for key, row in facts.values().items() if row.nan}
    if mine:
        total = sum(mine.values())
        be = "is" if total == 1 else "are"
        yield Finding(
            CODE,
            "warning",
            f"{count(total, 'value')} of {count(len(mine), 'tensor')} {be} nan: {some(list(mine))}",
            tuple(mine),
            {"nan": mine},
            cause="training diverged before the file was saved, or a value overflowed",
            help="take the checkpoint before this one; whatever passes through these weights becomes nan",
        )


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "", needs_model=False)
