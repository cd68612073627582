"""The last layer has another number of outputs.

## Cause

The network was trained for another number of classes, and the last layer of this model was built for yours: "size mismatch for
fc.weight: copying a param with shape [1000, 512] from checkpoint, the shape in current model is [3, 512]". Everything below
the head fits. `strict=False` does not help here, torch raises all the same, and leaves the model half overwritten. A layer
counts as a head if nothing else in the model consumes the size that changed.

## Example

```python
import torch
from torch import nn

import intact


def classifier(classes):
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, classes))


net, path = classifier(1000), "pretrained.pth"
torch.save(net.state_dict(), path)
model = classifier(3)
report = intact.check(path, model)
```

## Fix

```python
# Fine-tuning starts with a fresh head: that is meant, so say so. The body is loaded exactly.
report = intact.load_into(model, path, allow=["arch/resized-head"])
original = {key: value for key, value in net.state_dict().items() if key.startswith("0.")}
```

## Look-alike

```python
def wide(width):
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 3))


# A width: the next layer consumes the size that changed, so no head was replaced (arch/shape-mismatch).
path, model = "wide.pth", wide(16)
torch.save(wide(64).state_dict(), path)
```

## Source

- https://github.com/Helias/Car-Model-Recognition/issues/2
- https://github.com/IDEA-Research/DINO/issues/268
- https://github.com/pytorch/pytorch/issues/40859
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/resized-head"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the head has another number of outputs",
        cause="the model was trained for another number of classes or outputs, and the last layer was replaced",
        loss="the head keeps the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
