r"""The file is a pointer to the file that was meant.

## Cause

Repositories keep large files elsewhere and a short text in their place: git-lfs, git-annex, Xet, DVC. A clone without that
tool, and the archive that a web site packs of a repository, hold the text. `torch.load` says "invalid load key, 'v'" or
"Unsupported operand 118". The finding names the digest and the size of the real file, where the pointer does.

## Example

```python
import torch

import intact

path = "model.pth"
with open(path, "w") as file:
    file.write("version https://git-lfs.github.com/spec/v1\n")
    file.write("oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n")
    file.write("size 46830571\n")
report = intact.check(path)
```

## Fix

```python
torch.save({"weight": torch.ones(4)}, path)  # in the repository: git lfs install && git lfs pull
report = intact.check(path)
```

## Look-alike

```python
path = "noted.pth"  # the text is an entry of a checkpoint
torch.save({"from": "version https://git-lfs.github.com/spec/v1", "weight": torch.ones(4)}, path)
```

## Source

- https://github.com/hhj1897/face_parsing/issues/3
- https://github.com/timojl/clipseg/issues/5
- https://github.com/pytorch/pytorch/issues/150998
"""

CODE = "file/lfs-pointer"
