"""The file was written by `pickle.dump`, not by `torch.save`.

## Cause

A pickle of a state dict, or of numpy arrays, has none of what torch puts around its own: `torch.load` says "Invalid magic number"
or refuses it altogether. What it holds is complete all the same. intact reads tensors and arrays out of it and runs nothing.

## Example

```python
import pickle

import torch

import intact

path, model = "weights.pkl", torch.nn.Linear(2, 3)
with open(path, "wb") as stream:
    pickle.dump(model.state_dict(), stream)
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
intact.load_into(model, path)
path = "weights.safetensors"
intact.save(model, path)  # every loader reads it, and it proves itself
report = intact.check(path, model)
```

## Look-alike

```python
path, model = "weights.pth", torch.nn.Linear(2, 3)
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/31620
- https://docs.pytorch.org/docs/stable/generated/torch.load.html
"""

CODE = "file/plain-pickle"
