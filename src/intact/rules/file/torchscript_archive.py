"""The file is a TorchScript program.

## Cause

`torch.jit.save` writes code and weights together. It is a zip archive with a `data.pkl` as a checkpoint is, and people give it
the same endings (`.pt`, `.pth`), but its pickle names classes that stand in the archive's own code. `torch.load` refuses it.
What `torch.jit.load` returns has a state dict, and that is what a model of the same class can take.

## Example

```python
import warnings

import torch
from torch import nn

import intact

warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is deprecated, its files are still there
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
path = "net.pt"
torch.jit.save(torch.jit.script(net), path)
report = intact.check(path)
```

## Fix

```python
path, original = "weights.pth", net.state_dict()
torch.save(torch.jit.load("net.pt").state_dict(), path)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
report = intact.load_into(model, path)
```

## Look-alike

```python
path, model = "scripted.pth", None  # the state dict of a scripted module is an ordinary one
torch.save(torch.jit.script(net).state_dict(), path)
```

## Source

Of 223 checkpoint files from 90 public repositories, torch 2.13.0 refuses 97 by default, 16 of them because they are TorchScript.
"""

CODE = "file/torchscript-archive"
