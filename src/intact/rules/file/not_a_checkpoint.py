"""There is no checkpoint here.

## Cause

The file or folder is none: a configuration, a source file, a log, the folder of a run whose weights stand one level down, or
bytes that no known format begins with. It was named by mistake, or it was downloaded in place of the weights. The finding says
what it looks like and what a folder holds.

## Example

```python
import json
import os

import torch

import intact

os.mkdir("run")
torch.save({"weight": torch.ones(4)}, "run/best.pth")
path = "run/config.json"
with open(path, "w") as file:
    json.dump({"hidden_size": 4, "architectures": ["Net"]}, file)
report = intact.check(path)
```

## Fix

```python
path = "run"  # the folder, or run/best.pth: configuration beside the weights is no obstacle
report = intact.check(path)
```

## Look-alike

```python
path = "weights.txt"  # what a file is, is decided by its bytes and not by its name
torch.save({"weight": torch.ones(4)}, path)
```

## Source

- https://github.com/pytorch/examples/issues/169 (the wrong file on a command line)
"""

CODE = "file/not-a-checkpoint"
