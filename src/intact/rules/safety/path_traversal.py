"""A name in the file leads out of its folder.

## Cause

The index of a sharded set, or a member of a bundle, is named with a root or with a step upwards (`../`). An index is text that
anybody may have written: a loader that joins such a name to its folder takes weights, or any other file, from somewhere else on
the disk, and a program that unpacks such a member writes there. Nothing that such a name points to is opened.

## Example

```python
import json
import os

import torch
from safetensors.torch import save_file

import intact

os.mkdir("downloaded")
save_file({"weight": torch.ones(4)}, "private.safetensors")  # another model on the same disk
path = "downloaded/model.safetensors.index.json"
with open(path, "w") as file:
    json.dump({"weight_map": {"weight": "../private.safetensors"}}, file)
report = intact.check(path)
```

## Fix

```python
save_file({"weight": torch.ones(4)}, "downloaded/model-00001-of-00001.safetensors")  # shards belong beside the index
with open(path, "w") as file:
    json.dump({"weight_map": {"weight": "model-00001-of-00001.safetensors"}}, file)
report = intact.check(path)
```

## Look-alike

```python
path = "names.safetensors"  # keys and metadata are no paths
save_file({"down_blocks.0/attn../q": torch.ones(4)}, path, metadata={"from": "../runs/7"})
```

## Source

- https://github.com/huggingface/transformers/issues/47176
- https://github.com/huggingface/transformers/pull/46913
- https://github.com/huggingface/diffusers/issues/14175
- https://github.com/kekzl/imp/issues/1612
"""

CODE = "safety/path-traversal"
