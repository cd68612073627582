"""Files of different saves stand in one set.

## Cause

A copy ran while the next save was under way, or a smaller save was written over a bigger one, which left its last shards behind.
Every file is whole, and names and shapes fit, so everything loads; the values are of two moments. It shows in the metadata, where
a step, an epoch or a commit differs from file to file, or in a file that is not in the index and holds keys of the set again.

## Example

```python
import json
import os

import torch
from safetensors.torch import save_file

import intact

path = "set"
os.mkdir(path)
names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
for number, (name, step) in enumerate(zip(names, ("1000", "2000"))):  # the second is of a later save
    save_file({f"layers.{number}.weight": torch.ones(4)}, f"{path}/{name}", metadata={"step": step})
with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump({"weight_map": {f"layers.{number}.weight": name for number, name in enumerate(names)}}, file)
report = intact.check(path)
```

## Fix

```python
save_file({"layers.0.weight": torch.ones(4)}, f"{path}/{names[0]}", metadata={"step": "2000"})  # all files of one save
report = intact.check(path)
```

## Look-alike

```python
path = "set"
for number, name in enumerate(names):  # what differs here tells the files apart, not the saves
    metadata = {"step": "2000", "part": str(number)}
    save_file({f"layers.{number}.weight": torch.ones(4)}, f"{path}/{name}", metadata=metadata)
```

## Source

- https://github.com/ByteDance-Seed/VeOmni/pull/1164
- https://github.com/saforem2/ezpz/pull/196
- https://github.com/mflux-community/mflux/pull/603
- https://github.com/huggingface/transformers/pull/16343
"""

CODE = "file/mixed-shards"
