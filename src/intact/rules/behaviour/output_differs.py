"""The model gives other outputs than when it was saved, with the same weights and the same inputs.

## Cause

All weights are those of the file, and the recorded inputs give something else than was recorded, by more than rounding explains.
No module stands out in which that begins: it is in the code of the model itself, between the calls of its layers, as where two
blocks are called in another order; or the model raises. Where a module does stand out, `behaviour/diverges-at-module` names it.

## Example

```python
import torch
from torch import nn

import intact


class Mixer(nn.Module):
    def __init__(self, order):
        super().__init__()
        self.local, self.wide, self.order = nn.Linear(8, 8), nn.Linear(8, 8), order

    def forward(self, x):
        for name in self.order.split():
            x = torch.tanh(getattr(self, name)(x))
        return x


net, path = Mixer("local wide").eval(), "mixer.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),))
model = Mixer("wide local").eval()  # the lines were swapped
report = intact.check(path, model)
```

Also: arch/hyperparameter-differs

## Fix

```python
model = Mixer("local wide").eval()
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path, model = "wide.safetensors", nn.Linear(512, 512).to(torch.float64).float().eval()  # the last bits of a sum, at most
intact.save(nn.Linear(512, 512).eval(), path, example_inputs=(torch.randn(64, 512),))
```

## Source

- https://github.com/pytorch/pytorch/issues/6584
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.behaviour import summary
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.partings import evidence_of, reasons, where

CODE = "behaviour/output-differs"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where a replay gives something else, and no module within the model is where that begins."""
    behaviour = facts.behaviour
    replay = behaviour.replay if behaviour is not None else None
    if behaviour is None or replay is None or not behaviour.differs or (replay.place is not None and replay.place.path):
        return
    if replay.status == "raised":
        text = f"on the inputs it was saved with the model raises {replay.raised}"
    else:
        text = f"the model gives other outputs than when it was saved: {summary(replay.gaps)}"
    begin = f", and the runs part at {where(replay.place)}" if replay.place is not None else ""
    yield Finding(
        CODE,
        "warning",
        text + begin,
        (),
        evidence_of(facts, behaviour),
        cause=reasons(behaviour),
        help="compare the model's own `forward` with the one of the save; intact.save(…, include_source=True) keeps it",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
