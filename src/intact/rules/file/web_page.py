"""The file is what a server answered in place of the weights.

## Cause

A download program saved the page that came back: the quota or the virus warning of a drive, a login, an error, or the page about
the file instead of the file. `torch.load` says "invalid load key, '<'" or "Unsupported operand 60" and advises
`weights_only=False`, which cannot help. The finding quotes the title of the page or the text of the error.

## Example

```python
import torch

import intact

path = "model.pth"
with open(path, "w") as file:
    file.write("<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>")
report = intact.check(path)
```

## Fix

```python
torch.save({"weight": torch.ones(4)}, path)  # fetched with a browser or with the provider's own client
report = intact.check(path)
```

## Look-alike

```python
path = "tokens.pth"  # such a page as an entry of a checkpoint
torch.save({"sample": "<!DOCTYPE html><html></html>", "weight": torch.ones(4)}, path)
```

## Source

- https://github.com/ConstantinSeibold/ChestXRayAnatomySegmentation/issues/17
- https://github.com/pytorch/pytorch/issues/16203
- https://github.com/PramaLLC/BEN2_ComfyUI/issues/4
"""

CODE = "file/web-page"
