"""The checkpoint is inside of another file.

## Cause

A release bundle, the download of a cloud drive or a compressed copy was named as it came: `.tar.gz`, `.zip`, `.gz`, a model
archive of TorchServe. torch takes every tar for a checkpoint of before 0.4 and every zip for one of its own, and its errors speak
of records that are missing. The finding names the member that looks like the checkpoint; nothing is unpacked to the disk.

## Example

```python
import gzip
from pathlib import Path

import torch

import intact

torch.save({"weight": torch.arange(4.0)}, "original.pth")
path = "model.pth.gz"
Path(path).write_bytes(gzip.compress(Path("original.pth").read_bytes()))
report = intact.check(path)
```

## Fix

```python
Path("model.pth").write_bytes(gzip.decompress(Path(path).read_bytes()))  # as: gunzip model.pth.gz
path = "model.pth"
report = intact.check(path)
```

## Look-alike

```python
path = "checkpoint.pth.tar"  # a custom since the ImageNet example: no tar, but what torch.save writes
torch.save({"weight": torch.ones(4)}, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/6002
- https://github.com/vdurnov/xview2_1st_place_solution/issues/9
- https://github.com/bcmi/Object-Shadow-Generation-Dataset-DESOBAv2/issues/4
- https://github.com/naoto0804/pytorch-AdaIN/issues/18 (the look-alike)
"""

CODE = "file/wrapped-archive"
