"""The numbers are big-endian, and the file does not say so.

## Cause

torch writes the bytes of its tensors as they lie in memory. Before 2.1 it did not record in which order, so a file from a
big-endian machine (s390x, PowerPC) is read on any other one with every number turned round: weights become denormals and
numbers of all sizes, and nothing is said. The evidence is in the numbers. As they stand they are spread over all powers of two;
swapped, they are ordinary.

## Example

```python
import zipfile

import torch
from torch import nn

torch.save(nn.Linear(8, 8).state_dict(), "pc.pth")
path, model = "s390x.pth", nn.Linear(8, 8)
with zipfile.ZipFile("pc.pth") as old, zipfile.ZipFile(path, "w") as new:
    for name in old.namelist():
        data = old.read(name)
        if "/data/" in name:
            data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
        if not name.endswith(("byteorder", ".format_version", ".storage_alignment", "serialization_id")):
            new.writestr(name, data)  # torch before 2.1 wrote none of these
```

## Fix

```python
import intact

intact.load_into(model, path)
path = "swapped.pth"
torch.save(model.state_dict(), path)
```

## Look-alike

```python
path, model = "small.pth", nn.Linear(8, 8)  # tiny numbers of many sizes, as in the squares that Adam keeps
torch.save({"weight": torch.rand(8, 8) * 10.0 ** torch.arange(-30.0, 2, 4), "bias": torch.zeros(8)}, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/65300
- https://github.com/pytorch/pytorch/issues/101688
- https://github.com/safetensors/safetensors/issues/307
"""

CODE = "version/byte-order"
