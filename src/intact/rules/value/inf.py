"""Weights are infinite.

## Cause

A number beyond the largest of its dtype becomes infinite when it is cast, and nothing is said: float16 ends at 65,504, and a
script that halves a file does not look. The file is whole and loads into a model of the same dtype; whatever passes through
these weights becomes infinite or nan. Masks of minus infinity beside zeros are meant so and stay silent.

## Example

```python
import torch
from torch import nn

path, model = "half.pth", nn.Linear(4, 4).half()
state = nn.Linear(4, 4).state_dict()
state["weight"][1, 2] = 7e4
torch.save({key: value.half() for key, value in state.items()}, path)
```

## Fix

```python
import intact

model = nn.Linear(4, 4)
torch.save(state, path)  # the file before it was cast; bfloat16 holds such numbers
report = intact.load_into(model, path)
```

## Look-alike

```python
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))
        self.proj = nn.Linear(4, 4)


path, model = "masked.pth", Masked()
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/Carve-Photos/lama/issues/5
- https://github.com/instantX-research/InstantStyle-Plus/issues/2
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.statistics import Statistics
from intact.core.wording import count, some

CODE = "value/inf"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the tensors of the file that hold infinities and are no masks."""
    mine = {key: row for key, row in facts.values().items() if row.positive_inf + row.negative_inf and not _is_mask(row)}
    if mine:
        total = sum(row.positive_inf + row.negative_inf for row in mine.values())
        be = "is" if total == 1 else "are"
        yield Finding(
            CODE,
            "warning",
            f"{count(total, 'value')} of {count(len(mine), 'tensor')} {be} infinite: {some(list(mine))}",
            tuple(mine),
            {"infinite": {key: row.positive_inf + row.negative_inf for key, row in mine.items()}},
            cause="a larger number was cast to a dtype that ends before it, or training diverged",
            help="take the file from before the cast, or cast it to bfloat16; what passes through these weights becomes nan",
        )


def _is_mask(row: Statistics) -> bool:
    """Minus infinity beside a constant: what attention masks are made of."""
    return row.positive_inf == 0 and (row.finite == 0 or row.minimum == row.maximum)


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
