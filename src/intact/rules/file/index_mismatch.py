"""The index and the shards do not agree.

## Cause

The index says which shard holds which key, and something else is true: keys were moved between shards by hand, the index was
copied from another sharding, a merge left its old one behind. Readers that follow the index miss tensors that are there, or ask
for files that never were. As long as every key stands in exactly one shard it is read from there, and the finding is a warning;
a key that no shard holds is an error.

## Example

```python
import json
import os

import torch
from safetensors.torch import save_file

import intact

path = "set"
os.mkdir(path)
first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
save_file({"a": torch.zeros(4)}, f"{path}/{first}")
save_file({"b": torch.ones(4), "c": torch.ones(2)}, f"{path}/{second}")
index = {"weight_map": {"a": first, "b": first, "c": second}}  # `b` was moved since
with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump(index, file)
report = intact.check(path)
```

## Fix

```python
index["weight_map"]["b"] = second
with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump(index, file)
report = intact.check(path)
```

## Look-alike

```python
path = "parts"  # shards in a folder below, named with a step through `.`
os.makedirs(f"{path}/shards")
save_file({"a": torch.zeros(4)}, f"{path}/shards/{first}")
save_file({"b": torch.ones(4)}, f"{path}/shards/{second}")
with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump({"weight_map": {"a": f"./shards/{first}", "b": f"shards/{second}"}}, file)
```

## Source

- https://github.com/Neph0s/CoSER/issues/3
- https://github.com/Blaizzy/mlx-vlm/pull/1827
- https://github.com/jundot/omlx/pull/2432
"""

CODE = "file/index-mismatch"
