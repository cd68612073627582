"""Nothing in the file can be verified.

## Cause

`intact verify` was asked for a checkpoint that keeps no digests, and none stand beside it. Whether its bytes are those that were
saved cannot be told by anybody; that it opens says nothing about its values. This is what torch and safetensors write, and no
damage, but it is never called verified.

## Example

```python
from safetensors.torch import save_file
from torch import nn

import intact

net, path, model = nn.Linear(4, 4), "plain.safetensors", None
save_file(net.state_dict(), path)
report = intact.verify(path)
```

## Fix

```python
intact.seal(path)  # writes plain.safetensors.seal.json: from now on every change is noticed
report = intact.verify(path)
```

## Look-alike

```python
# A sealed checkpoint: every byte has a digest.
path = "model.safetensors"
intact.save(net, path)
report = intact.verify(path)
```

## Source

- https://github.com/pytorch/pytorch/issues/126952
- https://github.com/huggingface/transformers/issues/31283
"""

from __future__ import annotations

CODE = "file/unsealed"
