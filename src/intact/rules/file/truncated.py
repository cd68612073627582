"""The end of the file is missing.

## Cause

A download stopped, a copy ran out of room, or a save was killed: the file is shorter than it says it is. torch looks for the
directory of the archive at the end and says "failed finding central directory" or, for a small file, "Invalid argument";
safetensors says "incomplete metadata, file not fully covered". Whatever stands before the cut is whole.

## Example

```python
import os

import torch
from safetensors.torch import save_file

import intact

path = "model.safetensors"
state = {"a": torch.zeros(1000), "b": torch.ones(1000)}
save_file(state, path)
os.truncate(path, os.path.getsize(path) - 100)  # the download stopped here
report = intact.check(path)
```

## Fix

```python
save_file(state, path)  # fetched again; compare its size or SHA-256 with the original
report = intact.check(path)
```

## Look-alike

```python
path = "expanded.pth"  # a million elements that are one number in memory and in the file
torch.save({"weight": torch.ones(1).expand(1000, 1000)}, path)
```

## Source

- https://github.com/QwenLM/Qwen/issues/462
- https://github.com/Lightning-AI/pytorch-lightning/issues/688
- https://github.com/CompVis/stable-diffusion/issues/93
- https://github.com/osaurus-ai/vmlx-swift/pull/217
"""

CODE = "file/truncated"
