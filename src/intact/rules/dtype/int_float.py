"""Integers and floating numbers that do not fit one another.

## Cause

A counter is an integer on one side and a floating number on the other. float32 holds every integer only up to 2**24, so
72114982 items become 72114984; and 2.87 copied into an integer buffer becomes 2. It happens where a buffer was registered with
`torch.zeros(n)` and later filled with an int64 tensor, or where a whole state dict was cast to half. torch casts without a
word. A buffer of the model takes the dtype of the file's integers, which loses nothing.

## Example

```python
import torch
from torch import nn

import intact


class Recommender(nn.Module):
    def __init__(self):
        super().__init__()
        self.items = nn.Linear(3, 3)
        self.register_buffer("clicks", torch.zeros(3))  # float32


net, path = Recommender(), "recommender.pth"
net.clicks = torch.tensor([3, 812, 72114982])  # the training job counts in int64
torch.save(net.state_dict(), path)
model = Recommender()
report = intact.check(path, model)  # 1 of 3 values: 72114982 becomes 72114984
```

## Fix

```python
report = intact.load_into(model, path)  # the buffer becomes int64, as in the file
original = net.state_dict()
```

## Look-alike

```python
# Small integers that were saved as float16 along with everything else come back exactly.
path, model = "position-ids.pth", nn.Module()
model.register_buffer("position_ids", torch.arange(77))
torch.save({"position_ids": torch.arange(77).half()}, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/113072
- https://github.com/ogkalu2/Merge-Stable-Diffusion-models-without-distortion/issues/29
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/int-float"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts,
        CODE,
        "are not the same number afterwards",
        "one side counts in integers and the other in floating numbers; torch casts without a word",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
