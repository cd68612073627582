"""A file of the set is not there.

## Cause

The index names more shards than the folder holds, because a download was interrupted or a copy left some out. Programs that
follow the index name a tensor instead of the file; programs that read every file of the folder start up with random weights and
say nothing. The cause is one absent file, however many keys it takes along.

Sharded training writes another kind: each process saves its own state dict, whose tensors (`DTensor`, `ShardedTensor`) say which
part of the whole they are. Where the files of all processes lie in one folder, intact puts the parts together.

Without an index the names of the shards (`model-00001-of-00003.safetensors`) say how many there should be.

## Example

```python
import json
import os

import torch
from safetensors.torch import save_file

import intact

path = "set"
os.mkdir(path)
names = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
for number, name in enumerate(names):
    save_file({f"layers.{number}.weight": torch.full((4,), float(number))}, f"{path}/{name}")
with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump({"weight_map": {f"layers.{number}.weight": name for number, name in enumerate(names)}}, file)

os.remove(f"{path}/{names[1]}")  # the download stopped here
report = intact.check(path)
```

## Fix

```python
save_file({"layers.1.weight": torch.full((4,), 1.0)}, f"{path}/{names[1]}")  # fetched into the same folder
report = intact.check(path)
```

## Look-alike

```python
path = "alone"  # a set of one shard, with or without an index
os.mkdir(path)
save_file({"weight": torch.ones(4)}, f"{path}/model-00001-of-00001.safetensors")
```

## Source

- https://github.com/sgl-project/sglang/pull/32279
- https://github.com/JustVugg/colibri/issues/1317
"""

CODE = "file/missing-shard"
