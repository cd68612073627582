"""Another process is saving to the same path.

## Cause

In a distributed run every rank reached the line that saves, or two runs share a folder. With `torch.save` both write into one
file at once and what is left is a mixture. `intact.save` holds a lock for the path: the first one saves, the others are told so
and write nothing.

## Example

```python
from pathlib import Path

from torch import nn

import intact
from intact.files.atomic import writing

net, path, model = nn.Linear(4, 4), "model.safetensors", None
intact.save(net, path)
with writing(Path(path)):  # what the other process holds while it saves
    try:
        intact.save(net, path)
    except intact.IntactError as caught:
        error = caught
```

## Fix

```python
rank = 0
if rank == 0:  # torch.distributed.get_rank() == 0
    intact.save(net, path)
```

## Look-alike

```python
# A process was killed while it saved: its lock died with it, and what it left is cleared.
Path(".model.safetensors.lock").touch()
path = "model.safetensors"
intact.save(net, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/73168
- https://github.com/NVIDIA/apex/issues/886
- https://github.com/cybertronai/imagenet18_old/issues/16
"""

from __future__ import annotations

CODE = "file/concurrent-writes"
