"""A tensor reaches outside of its memory.

## Cause

The pickle says of a tensor that it begins behind the end of its storage or has more elements than the storage, or a storage is
declared larger than its record. No program writes that: the file was edited, badly repacked, or made to have foreign memory read.
torch gives the sizes without the name of the tensor; before 2.10 it did not check all of them.

## Example

```python
import torch
from torch._utils import _rebuild_tensor_v2

import intact


class Edited:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):  # four elements, from the hundredth of a storage of four
        return _rebuild_tensor_v2, (self.tensor._typed_storage(), 100, (4,), (1,), False, {})


path = "model.pth"
torch.save({"weight": Edited(torch.ones(4))}, path)
report = intact.check(path)
```

## Fix

```python
torch.save({"weight": torch.ones(4)}, path)  # from its source again; such a file is not to be trusted in anything else
report = intact.check(path)
```

## Look-alike

```python
path = "views.pth"  # views of one storage, with offsets and strides within it
whole = torch.arange(12.0)
torch.save({"tail": whole[8:], "columns": whole.view(3, 4).T, "repeated": whole[:1].expand(1000)}, path)
```

## Source

- https://www.sentinelone.com/vulnerability-database/cve-2026-24747
- https://github.com/tracel-ai/burn/pull/5593
"""

CODE = "file/storage-bounds"
