"""The save was stopped before its last file was written.

## Cause

`torch.distributed.checkpoint` lets every rank write its own files and writes the hidden file `.metadata` at the end, which says
what stands where. A job that is killed in between leaves files that look like a checkpoint and cannot be read as one; so does a
copy that left hidden files out (`cp folder/* …`). Which tensor a block of bytes belongs to is known to `.metadata` alone.

## Example

```python
import os

import torch
import torch.distributed.checkpoint as dcp
from torch import nn

import intact

path, model = "step-100", nn.Linear(4, 4)
dcp.save(model.state_dict(), checkpoint_id=path, no_dist=True)
os.rename(f"{path}/.metadata", "elsewhere")
report = intact.check(path)
```

## Fix

```python
os.rename("elsewhere", f"{path}/.metadata")  # copied too; or take the checkpoint before this one
report = intact.check(path)
```

## Look-alike

```python
path, model = "step-200", nn.Linear(4, 4)  # one rank wrote everything, and there is nothing to wait for
dcp.save(model.state_dict(), checkpoint_id=path, no_dist=True)
```

## Source

- https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
- https://github.com/pytorch/pytorch/blob/v2.13.0/torch/distributed/checkpoint/filesystem.py
"""

CODE = "file/incomplete-save"
