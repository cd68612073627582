"""A variance is negative.

## Cause

BatchNorm divides by the square root of `running_var`. A variance below zero cannot come from data: averaging of several models
with signs, a subtraction of checkpoints, or a wrong repair of the file made it. Loading says nothing, and the first batch in
evaluation mode is nan.

## Example

```python
import torch
from torch import nn

path, model = "merged.pth", nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
state = model.state_dict()
state["1.running_var"][2] = -0.25
torch.save(state, path)
```

## Fix

```python
good = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))  # statistics are averaged from data, not from differences
torch.save(good.state_dict(), path)
```

## Look-alike

```python
path, model = "plain.pth", nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
state = model.state_dict()
state["1.running_mean"][2] = -0.25  # a mean may be negative
torch.save(state, path)
```

## Source

- https://github.com/VectorInstitute/FL4Health/pull/39
- https://github.com/pytorch/pytorch/issues/106605
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "value/negative-variance"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the running variances below zero."""
    mine = {key: row.minimum for key, row in facts.values().items() if key.endswith("running_var") and row.minimum < 0}
    if mine:
        first = next(iter(mine))
        yield Finding(
            CODE,
            "warning",
            f"{count(len(mine), 'running variance')} {'is' if len(mine) == 1 else 'are'} below zero, which no data can give: "
            f"{some(list(mine))}, down to {mine[first]:.4g}",
            tuple(mine),
            {"minimum": mine},
            cause="models were averaged or subtracted, or the file was edited",
            help="run training data through the model in training mode to renew its statistics, or take the file from before",
        )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
