"""Some running statistics are still those of a new layer.

## Cause

A new BatchNorm has a mean of zeros and a variance of ones, and both change with the first batch in training mode. Where some
layers of a file have statistics and others still have those of a new layer, the others were frozen in evaluation mode, never
used, or never loaded: the tensors are there, and nothing was learned in them.

## Example

```python
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))


path, model = "part.pth", net()
source = net()
source[3].eval()  # frozen by mistake
source(torch.randn(32, 4))
torch.save(source.state_dict(), path)
```

## Fix

```python
source.train()
source(torch.randn(32, 4))
torch.save(source.state_dict(), path)
```

## Look-alike

```python
path, model = "new.pth", net()  # nothing of it was trained, and nothing claims to be
torch.save(net().state_dict(), path)
```

## Source

- https://github.com/cleinc/bts/issues/90
- https://github.com/Cadene/pretrained-models.pytorch/issues/5
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "value/untrained-statistics"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields layers with the statistics of a new one beside layers that have some."""
    values = facts.values()
    fresh, used = [], 0
    for key, row in values.items():
        if not key.endswith("running_var") or (mean := values.get(f"{key[:-3]}mean")) is None:
            continue
        counted = values.get(f"{key.removesuffix('running_var')}num_batches_tracked")
        if row.minimum == row.maximum == 1 and mean.minimum == mean.maximum == 0 and (counted is None or not counted.maximum > 0):
            fresh += [f"{key[:-3]}mean", key]
        elif row.minimum != row.maximum or mean.minimum != mean.maximum:
            used += 1
    if fresh and used:
        layers = len(fresh) // 2
        have = "has" if layers == 1 else "have"
        yield Finding(
            CODE,
            "warning",
            f"{count(layers, 'layer')} of {layers + used} {have} the running statistics of a new one, as "
            f"if no batch had passed: {some(fresh)}",
            tuple(fresh),
            {"layers": layers, "others": used},
            cause="these layers were in evaluation mode while the others were trained, were never used, or never loaded",
            help="run training data through the model in training mode; if they are not used, nothing is wrong",
        )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
