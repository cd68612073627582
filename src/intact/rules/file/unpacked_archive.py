r"""The folder is the unpacked content of a checkpoint.

## Cause

A file of `torch.save` is a zip archive, and some programs unpack whatever is one: a browser after the download, a file manager, a
helper that unpacks bundles. What is left is a folder with `data.pkl`, `data/` and `version`. `torch.load` reads only the archive.
Nothing is lost: packed again, without compression and with the folder itself inside, it is a checkpoint.

## Example

```python
import zipfile
from pathlib import Path

import torch

import intact

torch.save({"weight": torch.arange(4.0)}, "model.pth")
with zipfile.ZipFile("model.pth") as archive:
    archive.extractall()  # into a folder `model`
path = "model"
report = intact.check(path)
```

## Fix

```python
path = "again.pth"  # as: zip -0 -r again.pth model
with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
    for file in sorted(Path("model").rglob("*")):
        if file.is_file():
            archive.write(file)
report = intact.check(path)
```

## Look-alike

```python
path = "run"  # the data of a project beside its checkpoint
Path("run/data").mkdir(parents=True)
Path("run/data/train.csv").write_text("x,y\n1,2\n")
torch.save({"weight": torch.ones(4)}, "run/model.pth")
```

## Source

Measured with torch 2.13.0: `torch.load` takes the archive alone, also one that was packed again; compressed ones load too, but
`mmap=True` then silently returns the compressed bytes.
"""

CODE = "file/unpacked-archive"
