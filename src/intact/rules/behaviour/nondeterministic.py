"""Two runs of the saved model on the same inputs do not agree, in eval mode as well.

## Cause

The model draws at random whenever it runs: a variational autoencoder that samples its latent by design, or `F.dropout(x, 0.3)`,
which is active in eval mode too because `training` is `True` by default. It was found when the model was saved, by two runs with
other seeds. So an output that differs after loading is no sign of other weights; a replay is seeded as the recorded run was.

## Example

```python
import torch
import torch.nn.functional as F
from torch import nn

import intact


class Pool(nn.Module):
    def forward(self, x):
        return F.dropout(x.mean(1), 0.3)


net, path = nn.Sequential(nn.Linear(8, 16), nn.Unflatten(1, (4, 4)), Pool()).eval(), "net.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),))
model = nn.Sequential(nn.Linear(8, 16), nn.Unflatten(1, (4, 4)), Pool()).eval()
report = intact.check(path, model)
assert next(f for f in report.findings if f.code == "behaviour/nondeterministic").evidence["module"] == "2"
```

## Fix

```python
class Pool(nn.Module):
    def forward(self, x):
        return F.dropout(x.mean(1), 0.3, training=self.training)


fixed = nn.Sequential(nn.Linear(8, 16), nn.Unflatten(1, (4, 4)), Pool()).eval()
intact.load_into(fixed, path)
path = "fixed.safetensors"
intact.save(fixed, path, example_inputs=(torch.randn(4, 8),))
model = nn.Sequential(nn.Linear(8, 16), nn.Unflatten(1, (4, 4)), Pool()).eval()
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path = "dropout.safetensors"
model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)).eval()  # random in training mode only
intact.save(model, path, example_inputs=(torch.randn(4, 8),))
```

## Source

- https://github.com/Coderx7/SimpleNet/issues/2
- https://github.com/pytorch/pytorch/issues/26338
- https://github.com/Lightning-Universe/lightning-bolts/issues/566
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import place

CODE = "behaviour/nondeterministic"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the module where two runs of the saved model part; information while it is being saved."""
    behaviour = facts.behaviour
    if behaviour is None or behaviour.noise is None:
        return
    noise = behaviour.noise
    name = noise.class_name.rpartition(":")[2]
    equal = behaviour.replay is not None and behaviour.replay.status == "equal"
    yield Finding(
        CODE,
        "info" if behaviour.saving else "warning",
        f"two runs of one model part at {place(noise.path)} ({name}), in eval mode: "
        + (f"outputs differ by {noise.difference:.1e} of their norm" if noise.difference else "outputs are equal all the same"),
        (),
        {"module": noise.path, "class": noise.class_name, "relative": noise.difference, "equal_when_seeded": equal},
        cause="it draws at random whenever it runs"
        + ("; seeded as it was when it was saved, it gives what was recorded" if equal else ""),
        help="if that is not meant: pass `training=self.training` to `F.dropout`, and do not sample in eval mode",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
