"""Bytes stand behind the last tensor.

## Cause

A copier that works in whole blocks, or a tool that signs files, put something at the end of a safetensors file. Every tensor is
whole, and intact reads them. The reference reader refuses the file with the words it has for a truncated one, "incomplete
metadata, file not fully covered", so that people download it again without success.

## Example

```python
import torch
from safetensors.torch import save_file

import intact

path = "model.safetensors"
save_file({"weight": torch.arange(4.0)}, path)
with open(path, "ab") as file:
    file.write(bytes(512))
report = intact.check(path)
```

## Fix

```python
save_file(intact.read(path), "clean.safetensors")  # a copy that ends where the last tensor does
path = "clean.safetensors"
report = intact.check(path)
```

## Look-alike

```python
path = "zeros.safetensors"  # zeros at the end that are values of a tensor
save_file({"weight": torch.cat([torch.ones(4), torch.zeros(128)])}, path)
```

## Source

- https://github.com/Comfy-Org/ComfyUI/issues/15602
- https://github.com/datalab-to/marker/issues/970
"""

CODE = "file/trailing-bytes"
