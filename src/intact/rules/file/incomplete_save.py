"""The save was stopped before its last file was written.

## Cause

`torch.distributed.checkpoint` lets every rank write its own files and writes the hidden file `.metadata` at the end, which says
what stands where. A job that is killed in between leaves files that look like a checkpoint and cannot be read as one; so does a
copy that left hidden files out (`cp folder/* …`). Which tensor a block of bytes belongs to is known to `.metadata` alone.

Another half of a save is a file of placeholders: parameters that are spread over several processes (ZeRO-3, FSDP) have no
elements in each of them, and `torch.save(model.state_dict())` on one writes keys with nothing in them.

## Example

```python
import os

import torch
import torch.distributed.checkpoint as dcp
from torch import nn

import intact

path, model = "step-100", nn.Linear(4, 4)
dcp.save(model.state_dict(), checkpoint_id=path, no_dist=True)
os.rename(f"{path}/.metadata", "elsewhere")
report = intact.check(path)
```

## Fix

```python
os.rename("elsewhere", f"{path}/.metadata")  # copied too; or take the checkpoint before this one
report = intact.check(path)
```

## Look-alike

```python
path, model = "step-200", nn.Linear(4, 4)  # one rank wrote everything, and there is nothing to wait for
dcp.save(model.state_dict(), checkpoint_id=path, no_dist=True)
```

## Source

- https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
- https://github.com/pytorch/pytorch/blob/v2.13.0/torch/distributed/checkpoint/filesystem.py
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example, some

CODE = "file/incomplete-save"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tensors of the file that have no elements where the model has some."""
    mine = [
        d
        for d in facts.of_kind("shape")
        if d.found and d.expected and not d.found.elements and d.expected.elements and len(d.found.shape) <= 1
    ]
    if mine:
        yield Finding(
            CODE,
            "error",
            f"{count(len(mine), 'tensor')} of the file {'is an' if len(mine) == 1 else 'are'} empty placeholder"
            f"{'' if len(mine) == 1 else 's'}, without a single value: {some([d.key for d in mine])}",
            tuple(d.key for d in mine),
            {"of": len(facts.expected.tensors)},
            tuple(example(d.found, d.expected) for d in mine[:3]),
            "the parameters were spread over several processes (ZeRO-3, FSDP), and one of them saved what it held itself",
            "save from all processes together, with the framework's own consolidation (zero_to_fp32, full state dict)",
            None,
            frozenset(d.mark for d in mine),
        )


RULE = Rule(CODE, detect, page=__doc__ or "")
