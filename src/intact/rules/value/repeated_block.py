"""The same bytes stand in a file twice, and begin and end where blocks of the disk do.

## Cause

A write that went to a wrong place, a cache that handed out another page, a transfer that put a piece down twice: a block of 512
bytes or more of one tensor lies in the middle of another one, or at another place of the same. The file has its full size, its
header is right, and every value looks like a weight, because it is one. A file without checksums cannot prove it, so what is
looked for are equal bytes that begin and end where blocks of the file do. A copy of a tensor, or of its first rows, ends where
tensors or rows do, and stays silent. `torch` and `safetensors` load such a file without a word.

## Example

```python
import torch
from safetensors.torch import save_file
from torch import nn

path = "model.safetensors"
model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 100))
save_file(model.state_dict(), path)
with open(path, "r+b") as file:
    file.seek(8192)
    block = file.read(4096)
    file.seek(57344)
    file.write(block)
```

## Fix

```python
save_file(model.state_dict(), path)  # fetch or copy the file again; `intact salvage` gets the other tensors out of this one
```

## Look-alike

```python
path = "resized.safetensors"  # the same rows under two names, by design
table = torch.randn(300, 100)
model = {"small": table[:200].clone(), "large": torch.cat([table, torch.randn(50, 100)])}
save_file(model, path)
```

## Source

- https://www.usenix.org/legacy/event/fast08/tech/full_papers/bairavasundaram/bairavasundaram.pdf
- https://research.cs.wisc.edu/adsl/Publications/zfs-corruption-fast10.pdf
"""

CODE = "value/repeated-block"
