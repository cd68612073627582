"""Tensors of the same name have other shapes.

## Cause

The model was built with other sizes than the one that was saved: width, number of heads, kernel size, the variant of the
configuration. Names agree, shapes do not, and the change runs through the layers, so it is neither a head nor an input nor a
vocabulary. torch raises "size mismatch", with `strict=False` too, and leaves the tensors that did fit in the model. Skipping
the mismatches, as many snippets do, keeps those layers random.

## Example

```python
import torch
from torch import nn

import intact


def network(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


net, path = network(width=64), "large.pth"
torch.save(net.state_dict(), path)
model = network(width=32)  # the small variant
report = intact.check(path, model)
```

## Fix

```python
model = network(width=64)  # the finding lists both shapes of every tensor: the width in the file is 64
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
# Only the last layer differs, and nothing consumes its size: a head for other classes (arch/resized-head).
path, model = "ten-classes.pth", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
torch.save(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/40859
- https://github.com/pytorch/pytorch/issues/154597
- https://github.com/Res2Net/Res2Net-PretrainedModels/issues/4
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import keep_fresh, resized

CODE = "arch/shape-mismatch"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="shapes differ",
        cause="the model is built with other sizes (width, kernel, heads) than the one that was saved",
        loss="these tensors keep the model's fresh values",
        step=keep_fresh,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
