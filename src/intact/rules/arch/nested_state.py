"""The weights lie one or more levels down.

## Cause

A whole training state was saved, `{"epoch": …, "state_dict": …, "optimizer": …}`, and the file as a whole was given to the
model. torch calls every key of the model missing and `epoch`, `state_dict`, `optimizer` unexpected; with `strict=False` it
loads nothing, and the model runs on random weights. Each project names the entry differently, and some nest deeper
(`checkpoint["model"]["generator"]`). The place whose tensors are the model's by name and shape is taken; where several fit
equally well, nobody chooses but you: `at="generator"`.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
path = "epoch-12.pth"
torch.save({"epoch": 12, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}, path)

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
report = intact.check(path, model)  # the finding names the entry: `state_dict`
```

## Fix

```python
report = intact.load_into(model, path)
original = net.state_dict()  # what the model holds now, bit for bit
```

## Look-alike

```python
class Task(nn.Module):
    # A model with a part named `model`: keys with a dot in them are no nesting
    def __init__(self):
        super().__init__()
        self.model = nn.Linear(4, 2)


path, model = "task.pth", Task()
torch.save(Task().state_dict(), path)  # one flat mapping: model.weight, model.bias
```

## Source

- https://github.com/pytorch/pytorch/issues/9530
- https://github.com/Lornatang/SRGAN-PyTorch/issues/52
- https://github.com/karpathy/nanoGPT/issues/325
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from intact.alignment import Placing, find_place
from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.repairs.unnest import Unnest, relative

CODE = "arch/nested-state"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the place of the model's state dict, where the checkpoint has places."""
    if not any(tensor.nest for tensor in facts.found.tensors.values()):
        return
    placing = find_place(facts.found, facts.expected, facts.at)
    if placing is None:
        return
    if placing.at is None:
        yield _ambiguous(facts, placing)
    elif placing.at not in facts.found.modules:
        yield _one(facts, placing, placing.at)


def _one(facts: Facts, placing: Placing, at: str) -> Finding:
    step = Unnest(at, placing.aside)
    gone = frozenset(placing.aside)
    held = {new: key for key in facts.found.tensors if (new := relative(key, at)) is not None and key not in gone}
    keys = tuple(held.values())
    short = next((new for new in held if new in facts.expected.tensors), next(iter(held)))
    fits = held[short]
    where = f"`{at}`" if at else "the top level, beside nested entries"
    return Finding(
        CODE,
        "error",
        f"the model's weights are {count(len(keys), 'tensor')} under {where}, not the whole checkpoint",
        keys,
        {"at": at, "tensors": len(keys), "beside": _beside(facts.found, at, placing.aside), "averaged": list(placing.averaged)},
        (example(facts.found.tensors[fits], facts.expected.tensors.get(short)),),
        "a whole training state was saved, and the weights are one entry of it",
        LOSS_FREE,
        step,
        frozenset(d.mark for d in facts.differences if d.kind == "unexpected" or (d.kind == "missing" and d.key in held)),
        incidental=not facts.original.extras and len(keys) == len(facts.found.tensors),
    )


def _ambiguous(facts: Facts, placing: Placing) -> Finding:
    return Finding(
        CODE,
        "error",
        f"{count(len(placing.candidates), 'place')} hold weights that fit the model equally well: {some(placing.candidates, 8)}",
        tuple(facts.found.tensors),
        {"candidates": list(placing.candidates), "averaged": list(placing.averaged)},
        (),
        "the checkpoint holds several sets of weights, and neither names nor shapes tell which is meant",
        f'name the one you want: at="{placing.candidates[0]}" (command: --at {placing.candidates[0]})',
        None,
        frozenset(d.mark for d in facts.differences),
        ambiguous=True,
    )


def _beside(found: Description, at: str, aside: tuple[str, ...], most: int = 50) -> Mapping[str, Any]:
    """What else holds tensors, by place and number."""
    gone = frozenset(aside)
    rest: Counter[str] = Counter()
    for key, tensor in found.tensors.items():
        if relative(key, at) is None or key in gone:
            rest[tensor.nest or key] += 1
    return dict(rest.most_common(most))


RULE = Rule(CODE, detect, page=__doc__ or "")
