"""The model wants tensors that the file does not have.

## Cause

The file was saved from a model without these modules: a head or a branch was added since, only a part was saved (a backbone),
or an option of the constructor adds layers. Nothing in the file stands for them, under any name that could be recognised. With
`strict=False` torch leaves these tensors as the constructor made them, random, and the only sign is a return value that few
people look at.

## Example

```python
import torch
from torch import nn

import intact


class Detector(nn.Module):
    def __init__(self, masks=False):
        super().__init__()
        self.backbone, self.boxes = nn.Linear(6, 8), nn.Linear(8, 4)
        if masks:
            self.masks = nn.Linear(8, 16)


net, path = Detector(), "boxes.pth"
torch.save(net.state_dict(), path)
model = Detector(masks=True)
report = intact.check(path, model)
```

## Fix

```python
# If the new branch is to be trained from scratch, say so; everything else is loaded exactly.
report = intact.load_into(model, path, allow=["arch/missing-key"])
original = net.state_dict()
```

## Look-alike

```python
class Rotary(nn.Module):
    # Its table is computed, not saved: the model does not want it from a file
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4)
        self.register_buffer("table", torch.arange(8.0), persistent=False)


path, model = "rotary.pth", Rotary()
torch.save(nn.ModuleDict({"proj": nn.Linear(4, 4)}).state_dict(), path)
```

## Source

- https://github.com/open-mmlab/mmdetection/issues/3915
- https://github.com/huggingface/transformers/issues/46620
- https://github.com/pytorch/pytorch/issues/40859
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment.nearest import nearest
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import by_permission, count, example, some
from intact.repairs.keep import Keep

CODE = "arch/missing-key"

SHOWN = 3
FEW = 64
REST = 0.5
"""Share of the model's keys up to which missing ones are what is left over, and each is looked for."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields every missing key, for want of a better explanation."""
    shard = facts.shard() if facts.of_kind("missing") else None
    mine = [d for d in facts.of_kind("missing") if shard is None or not shard.may_hold(d.key)]
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    rest = len(keys) <= max(FEW, REST * len(facts.expected.tensors))
    near = nearest({d.key: d.expected for d in mine if d.expected}, _left(facts)) if rest else {}
    yield Finding(
        CODE,
        "error",
        f"{count(len(keys), 'key')} of the model {'is' if len(keys) == 1 else 'are'} not in the file: {some(keys)}",
        keys,
        {"of": len(facts.expected.tensors), "unexpected": [d.key for d in facts.of_kind("unexpected")][:20], "nearest": near},
        tuple(example(None, d.expected) for d in mine[:3]),
        "the file was saved from a model without these modules, or only a part of it was saved" + _said(near),
        by_permission(CODE, f"{count(len(keys), 'tensor')} keep the model's fresh values"),
        Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in mine if d.expected)),
        frozenset(d.mark for d in mine),
    )


def _left(facts: Facts) -> dict[str, TensorInfo]:
    """What of the file stands for no key of the model, whatever has been left out before."""
    used = {source for key, tensor in facts.found.tensors.items() if key in facts.expected.tensors for source in tensor.sources}
    here = {tensor.source: key for key, tensor in facts.found.tensors.items()}
    return {here.get(key, key): tensor for key, tensor in facts.original.tensors.items() if key not in used}


def _said(near: dict[str, str]) -> str:
    if not near:
        return ""
    shown = [f"`{other}` for `{key}`" for key, other in list(near.items())[:SHOWN]]
    more = f" and {len(near) - SHOWN:,} more" if len(near) > SHOWN else ""
    return f"; nearest in the file: {', '.join(shown)}{more}"


RULE = Rule(CODE, detect, page=__doc__ or "")
