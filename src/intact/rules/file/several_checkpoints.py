"""More than one checkpoint could be meant.

## Cause

A folder holds several complete checkpoints, often a `model.safetensors` of an earlier save beside a newer `pytorch_model.bin`.
Loaders prefer one of them by its name, without a word, and a fine-tuning seems to have had no effect. Which one is meant cannot
be decided here. A single file can hold several too: the parts of a distributed checkpoint (`.distcp`) are archives end to end.

## Example

```python
import os

import torch
from safetensors.torch import save_file

import intact

path = "run"
os.mkdir(path)
save_file({"weight": torch.zeros(4)}, "run/model.safetensors")  # before the fine-tuning
torch.save({"weight": torch.ones(4)}, "run/pytorch_model.bin")  # after it
report = intact.check(path)
```

## Fix

```python
path = "run/pytorch_model.bin"  # name the one that is meant, and remove or move the other
report = intact.check(path)
```

## Look-alike

```python
path = "resumable"  # the state of the optimizer is no second checkpoint
os.mkdir(path)
save_file({"weight": torch.ones(4)}, f"{path}/model.safetensors")
torch.save({"state": {}, "param_groups": []}, f"{path}/optimizer.pt")
```

## Source

- https://github.com/huggingface/diffusers/pull/14774
- https://github.com/huggingface/diffusers/issues/14719
"""

CODE = "file/several-checkpoints"
