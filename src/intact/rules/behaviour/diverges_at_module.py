"""The model behaves otherwise than when it was saved, and this is the module where that begins.

## Cause

The weights load without a word, and the recorded inputs give other outputs. Up to the named module everything is as it was
recorded; the module is given the same and gives something else. So the cause is in it: a hyperparameter that shapes no weight
(an activation, the number of heads, a rounding mode, a base of a rotary table), its class, its code, or a table that is not in
the state dict.

## Example

```python
import torch
from torch import nn

import intact


class Net(nn.Module):
    def __init__(self, ceil_mode):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)

    def forward(self, x):
        return self.pool(self.conv(x)).mean((2, 3))


net, path = Net(ceil_mode=True).eval(), "net.safetensors"
intact.save(net, path, example_inputs=(torch.randn(1, 3, 16, 16),))
model = Net(ceil_mode=False).eval()
report = intact.check(path, model)
assert next(f for f in report.findings if f.code == "behaviour/diverges-at-module").evidence["module"] == "pool"
```

Also: arch/hyperparameter-differs

## Fix

```python
model = Net(ceil_mode=True).eval()
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path = "layout.safetensors"
model = Net(ceil_mode=True).eval().to(memory_format=torch.channels_last)  # sums in another order: rounding, and no more
intact.save(Net(ceil_mode=True).eval(), path, example_inputs=(torch.randn(1, 3, 16, 16),))
```

## Source

- https://github.com/xxradon/PytorchToCaffe/issues/16
- https://github.com/mlfoundations/open_clip/issues/771
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.behaviour import summary
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.partings import evidence_of, reasons, where

CODE = "behaviour/diverges-at-module"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the module where a replay begins to differ; information where the outputs agree all the same."""
    behaviour = facts.behaviour
    replay = behaviour.replay if behaviour is not None else None
    if behaviour is None or replay is None or replay.status == "raised":
        return
    part = replay.place if replay.status == "different" else replay.parting
    if part is None or not part.path:
        return
    differs = replay.status == "different"
    yield Finding(
        CODE,
        "warning" if differs else "info",
        f"the model behaves otherwise from {where(part)} on: {summary(replay.gaps)}"
        if differs
        else f"outputs agree within rounding, and from {where(part)} on the model computes otherwise",
        (),
        evidence_of(facts, behaviour),
        cause=reasons(behaviour),
        help="build the model as it was when it was saved; `intact inspect` prints the recorded arguments",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
