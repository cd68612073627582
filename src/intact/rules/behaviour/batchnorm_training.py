"""The model is in training mode, and its norms use the statistics of the batch at hand instead of the saved ones.

## Cause

A module that was just built is in training mode. BatchNorm then normalises with mean and variance of whatever batch it is given,
so that results depend on the size of the batch, and every call moves the saved statistics. The model was saved in eval mode, and
the recorded inputs give something else now.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 2))
net(torch.randn(64, 8) * 3)
path = "net.safetensors"
intact.save(net.eval(), path, example_inputs=(torch.randn(4, 8),))
model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 2))  # as it is built: in training mode
report = intact.check(path, model)
```

## Fix

```python
model.eval()
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path, model = "layernorm.safetensors", nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16))  # the mode makes no difference
intact.save(nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16)).eval(), path, example_inputs=(torch.randn(4, 8),))
```

## Source

- https://github.com/facebookresearch/VideoPose3D/issues/113
- https://github.com/cg563/simple-blackbox-attack/issues/4
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "behaviour/batchnorm-training"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the norms that use the batch now and did not when the model was saved."""
    mode = facts.behaviour.mode if facts.behaviour is not None else None
    if mode is None or not mode.norms:
        return
    paths = [path for path, _ in mode.norms]
    shown = (
        f"the model raises {mode.raised}"
        if mode.raised
        else f"outputs are {mode.relative:.1e} of their norm from those in eval mode"
    )
    yield Finding(
        CODE,
        "warning",
        f"the model is in training mode and was saved in eval mode: {count(len(paths), 'module')}, as {some(paths, 1)}, "
        f"{'normalises' if len(paths) == 1 else 'normalise'} with the batch at hand",
        (),
        {"modules": [list(row) for row in mode.norms], "relative": mode.relative, "raised": mode.raised},
        cause=f"{shown}; and each call moves the saved statistics",
        help="call model.eval() before you use it; to go on training it is as it should be",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
