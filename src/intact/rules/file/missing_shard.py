"""A file of the set is not there.

## Cause

The index names more shards than the folder holds, because a download was interrupted or a copy left some out. Programs that
follow the index name a tensor instead of the file; programs that read every file of the folder start up with random weights and
say nothing. The cause is one absent file, however many keys it takes along.

Sharded training writes another kind: each process saves its own state dict, whose tensors (`DTensor`, `ShardedTensor`) say which
part of the whole they are. Where the files of all processes lie in one folder, intact puts the parts together.

Without an index the names of the shards (`model-00001-of-00003.safetensors`) say how many there should be. A file of that name
that is given by itself holds a part of the model only: what is in the others is not missing, and the index is what to give.

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

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.one_of_set import OneOfSet
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, count, example, some
from intact.repairs.keep import Keep

CODE = "file/missing-shard"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields keys of the model that are in the other files of a set of which one was given."""
    missing = facts.of_kind("missing")
    shard = facts.shard() if missing else None
    if shard is None:
        return
    mine = [d for d in missing if shard.may_hold(d.key)]
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    be, where = "is" if len(keys) == 1 else "are", "in the others" if shard.index else "not in it"
    yield Finding(
        CODE,
        "error",
        f"{_said(shard)}: {count(len(keys), 'key')} of the model {be} {where}: {some(keys)}",
        keys,
        {"number": shard.number, "count": shard.count, "index": shard.index},
        tuple(example(None, d.expected) for d in mine[:3]),
        "one file of a set was given in place of the set",
        f"give {_whole(shard)} in its place; "
        + by_permission(CODE, f"{count(len(keys), 'tensor')} keep the model's fresh values"),
        Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in mine if d.expected)),
        frozenset(d.mark for d in mine),
    )


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields that a file looked at by itself is one of a set."""
    shard = None if facts.has_model else facts.shard()
    if shard is not None:
        yield Finding(
            CODE,
            "info",
            f"{_said(shard)}; the other tensors are in the others",
            (),
            {"number": shard.number, "count": shard.count, "index": shard.index},
            cause="large checkpoints are saved in several files",
            help=f"give {_whole(shard)} to see all of it",
        )


def _said(shard: OneOfSet) -> str:
    return f"the file is shard {shard.number:,} of {shard.count:,}"


def _whole(shard: OneOfSet) -> str:
    return f"the index `{shard.index}`" if shard.index else "the folder that all of them lie in"


RULE = Rule(CODE, detect, page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "", needs_model=False)
