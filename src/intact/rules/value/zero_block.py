"""A block of zeros lies in a tensor where a block of the disk, not a row of the tensor, begins and ends.

## Cause

A page that was never written back, a hole that a transfer tool made before it filled it, a bad sector that was replaced: the file
has its full size, its header is right, and 512 bytes or some thousands are zero in the middle of a tensor whose other values are
not. A file without checksums cannot prove it, so what is looked for are zeros amid values that are not zero, which
begin and end where blocks of 512 bytes of the file do. `torch` and `safetensors` load such a file without a word.

## Example

```python
import torch
from safetensors.torch import save_file
from torch import nn

path = "model.safetensors"
model = nn.Linear(100, 100)
save_file(model.state_dict(), path)
with open(path, "r+b") as file:
    file.seek(8192)
    file.write(bytes(4096))
```

## Fix

```python
save_file(model.state_dict(), path)  # fetch or copy the file again; `intact salvage` gets the other tensors out of this one
```

## Look-alike

```python
path = "padded.safetensors"  # rows that are zero by design end where rows do: a padding index, a pruned unit
model = nn.Embedding(200, 100, padding_idx=7)
save_file(model.state_dict(), path)
```

## Source

- https://github.com/osaurus-ai/vmlx-swift/pull/217
- https://github.com/microsoft/BitNet/issues/608
- https://github.com/vllm-project/vllm/pull/53537
"""

CODE = "value/zero-block"
