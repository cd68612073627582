"""The first layer takes another number of inputs.

## Cause

The model is built for another number of input channels or features than the one that was saved: grey images instead of RGB, an
extra depth channel, one column more in the table. Only the second dimension of the first layer differs, and nothing in front
of it produces that size. How the old channels should count for the new ones (average, repeat, leave fresh) is a decision, so
nothing is converted by itself.

## Example

```python
import torch
from torch import nn

import intact


def network(channels):
    return nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))


net, path = network(channels=3), "rgb.pth"
torch.save(net.state_dict(), path)
model = network(channels=1)  # grey images
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path, allow=["arch/resized-input"])  # the first layer stays fresh for now
# one common choice for grey images: the sum over the colours, as if the grey image were repeated three times
model[0].weight.data.copy_(net[0].weight.data.sum(1, keepdim=True))
original = {key: value for key, value in net.state_dict().items() if key != "0.weight"}
```

## Look-alike

```python
def autoencoder(code):
    return nn.Sequential(nn.Linear(6, code), nn.Linear(code, 6))


# The second layer takes more because the first one gives more: a width, not an input (arch/shape-mismatch).
path, model = "autoencoder.pth", autoencoder(2)
torch.save(autoencoder(3).state_dict(), path)
```

## Source

- https://github.com/hlwang1124/SNE-RoadSeg/issues/36
- https://github.com/ZJCV/RotNet/issues/6
- https://github.com/tobefans/LSSED/issues/4
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/resized-input"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the input has another number of channels or features",
        cause="the model is built for another number of input channels or features",
        loss="the layer keeps the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
