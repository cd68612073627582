"""The model is in training mode, and drops at random: every call gives something else.

## Cause

A module that was just built is in training mode, and `load_state_dict` does not carry the mode. The model was saved in eval mode;
with the same weights it gives other outputs now, because its dropout layers are active. It is told only where the recorded inputs
show it: a checkpoint of a model in training mode, and a model in which nothing drops, are left in peace.

## Example

```python
import torch
from torch import nn

import intact

net, path = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 2)).eval(), "net.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),))
model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 2))  # as it is built: in training mode
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
path, model = "training.safetensors", nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5)).train()
intact.save(model, path, example_inputs=(torch.randn(4, 8),))  # saved in the middle of training, and loaded to go on
```

## Source

- https://discuss.pytorch.org/t/saved-cnn-model-giving-different-results/107438
- https://github.com/OpenTrafficCam/OTVision/issues/132
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "behaviour/dropout-active"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the dropout layers that are active now and were not when the model was saved."""
    mode = facts.behaviour.mode if facts.behaviour is not None else None
    if mode is None or not mode.dropouts:
        return
    paths = [path for path, _ in mode.dropouts]
    yield Finding(
        CODE,
        "warning",
        f"the model is in training mode and was saved in eval mode: {count(len(paths), 'module')}, as {some(paths, 1)}, "
        f"{'drops' if len(paths) == 1 else 'drop'} at random",
        (),
        {"modules": [list(row) for row in mode.dropouts], "relative": mode.relative},
        cause=f"outputs are {mode.relative:.1e} of their norm from those in eval mode; a state dict does not carry the mode",
        help="call model.eval() before you use it; to go on training it is as it should be",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
