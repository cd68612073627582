"""The file is a program of torch.export.

## Cause

`torch.export.save` writes a traced graph with its weights, usually as `.pt2`. It is a zip archive as a checkpoint is, of another
layout: there is no `data.pkl`, and `torch.load` complains about a missing record. What `torch.export.load` returns has a state
dict, and that is what a model of the same class can take.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
path = "net.pt2"
torch.export.save(torch.export.export(net, (torch.zeros(1, 4),)), path)
report = intact.check(path)
```

## Fix

```python
path, original = "net.pth", net.state_dict()
torch.save(dict(torch.export.load("net.pt2").state_dict), path)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
report = intact.load_into(model, path)
```

## Look-alike

```python
path = "weights.pt2"  # an ordinary checkpoint under that ending
torch.save(net.state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/167872
- https://github.com/pytorch/pytorch/pull/186073
- https://github.com/pytorch/TensorRT/issues/2479
"""

CODE = "file/exported-program"
