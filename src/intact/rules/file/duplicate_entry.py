"""A record stands in the archive more than once.

## Cause

A zip archive can hold two members of one name. Readers differ in which they take: torch the first, Python's `zipfile` and most
other programs the last. It happens when a program appends to an archive, and it is done on purpose to show a scanner other
content than the one that torch will read. Names are compared without regard to case, as torch does it.

## Example

```python
import warnings
import zipfile

import torch

import intact

path = "model.pth"
torch.save({"weight": torch.ones(4)}, path)
warnings.simplefilter("ignore")
with zipfile.ZipFile(path, "a") as archive:
    archive.writestr("model/data/0", torch.zeros(4).numpy().tobytes())  # torch goes on reading ones
report = intact.check(path)
```

## Fix

```python
path = "once.pth"
torch.save(intact.read("model.pth"), path)
report = intact.check(path)
```

## Look-alike

```python
path = "tied.pth"  # two keys for one record: tied weights
weight = torch.ones(4)
torch.save({"first": weight, "second": weight}, path)
```

## Source

- https://github.com/pytorch/pytorch/blob/v2.13.0/caffe2/serialize/inline_container.cc (`getRecordID`)
- https://docs.python.org/3/library/zipfile.html (`ZipFile.getinfo`)
"""

CODE = "file/duplicate-entry"
