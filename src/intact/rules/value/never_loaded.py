"""A tensor of the model has no values: it is a placeholder, and saving it would save nothing.

## Cause

A model built on the meta device, or by a loader that fills it piece by piece, has tensors with a shape and no memory until
they are filled. ZeRO leaves parameters of no elements behind while their parts are with other ranks. Saved like that the file
has empty entries or none, and every key looks as if it were there.

## Example

```python
import torch
from torch import nn

import intact

with torch.device("meta"):
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
model[0] = nn.Linear(4, 8)  # filled; the other layer was forgotten
report = intact.audit(model)
```

## Fix

```python
model[1] = nn.Linear(8, 2)
report = intact.audit(model)
```

## Look-alike

```python
class Empty(nn.Module):
    def __init__(self):
        super().__init__()
        self.marker = nn.Parameter(torch.empty(0))  # empty on purpose: people ask it for its device
        self.head = nn.Linear(4, 2)


model = Empty()
```

## Source

- https://github.com/huggingface/accelerate/pull/2132
- https://github.com/deepspeedai/DeepSpeed/issues/2413
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.inventory import Item
from intact.core.rule import Facts, Rule
from intact.core.wording import count
from intact.losses import graded, loss

CODE = "value/never-loaded"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields registered tensors without values: on the meta device, or placeholders of partitioned parameters."""
    for items in graded(facts, "meta"):
        yield _finding(
            items,
            "on the meta device and without values",
            "the model was built without memory and not filled whole",
            "load or initialise them before saving (`model.to_empty(device=…)` gives memory, not values)",
        )
    for items in graded(facts, "placeholder"):
        yield _finding(
            items,
            "placeholders without elements",
            f"of `{items[0].path}`: {items[0].evidence}",
            "gather the parameters before saving (`deepspeed.zero.GatheredParameters`, `zero_to_fp32`)",
        )


def _finding(items: tuple[Item, ...], what: str, cause: str, fix: str) -> Finding:
    be = "is" if len(items) == 1 else "are"
    head = f"{count(len(items), 'tensor')} of the model, as `{items[0].path}`, {be} {what}: there is nothing to save"
    return loss(CODE, items, head, cause, fix)


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
