"""The archive was packed again, with compression.

## Cause

A checkpoint of torch is a zip archive whose records lie uncompressed, so that tensors can be used where they stand. Somebody
unpacked it and packed it again to make it smaller, or a file manager did. A plain `torch.load` inflates the records.
`torch.load(mmap=True)` does not look: the compressed bytes become the values of the tensors.

## Example

```python
import zipfile

import torch

import intact

torch.save({"weight": torch.ones(1000)}, "model.pth")
path = "small.pth"
with zipfile.ZipFile("model.pth") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
    for name in old.namelist():
        new.writestr(name, old.read(name))
report = intact.check(path)
```

## Fix

```python
torch.save(intact.read(path), "whole.pth")
path = "whole.pth"
report = intact.check(path)
```

## Look-alike

```python
path = "again.pth"  # packed again without compression: every reader takes it
with zipfile.ZipFile("model.pth") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
    for name in old.namelist():
        new.writestr(name, old.read(name))
```

## Source

- https://github.com/pytorch/pytorch/issues/6002
- https://github.com/pytorch/pytorch/blob/v2.13.0/torch/serialization.py (`_load`, `get_record_offset`)
"""

CODE = "file/repacked-archive"
