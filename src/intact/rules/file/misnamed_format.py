"""The name of the file promises another format than its content is.

## Cause

Programs choose their reader by the ending of a name. A safetensors file that was renamed to `.bin` to please a program that looks
for one, or a torch file renamed to `.safetensors`, meets the wrong reader: "invalid load key", or "HeaderTooLarge". Nothing in it
is wrong. intact looks at the content alone.

## Example

```python
import safetensors.torch
import torch

import intact

path, model = "pytorch_model.bin", torch.nn.Linear(2, 3)
safetensors.torch.save_file(model.state_dict(), path)
report = intact.check(path, model)
```

## Fix

```python
import os

original = {key: value.clone() for key, value in model.state_dict().items()}
intact.load_into(model, path)
os.rename(path, "model.safetensors")
path = "model.safetensors"
report = intact.check(path, model)
```

## Look-alike

```python
path, model = "model_best.pth.tar", torch.nn.Linear(2, 3)  # a customary name for a torch file, and no tar archive
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/billwuhao/ComfyUI_DiffRhythm/issues/43
- https://github.com/safetensors/safetensors/issues/414
- https://github.com/open-mmlab/mmagic/issues/2089
"""

CODE = "file/misnamed-format"
