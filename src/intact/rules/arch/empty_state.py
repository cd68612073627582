"""The checkpoint holds no tensor.

## Cause

What was saved has no weights in it: the layers were kept in a plain list or dict, so that the module never registered them; or
a sharded model (FSDP, ZeRO-3) was asked for its state dict on a process that holds none of it; or only settings and counters
were written. Saving such a state raises nothing, and loading it with `strict=False` raises nothing either. The weights cannot
be had back from the file.

## Example

```python
import torch
from torch import nn

import intact


class Stack(nn.Module):
    def __init__(self, keep=list):
        super().__init__()
        self.layers = keep([nn.Linear(4, 4), nn.Linear(4, 4)])  # a plain list registers nothing


net, path = Stack(), "stack.pth"
torch.save(net.state_dict(), path)  # an empty state dict
model = Stack(keep=nn.ModuleList)
report = intact.check(path, model)
```

## Fix

```python
net.layers = nn.ModuleList(net.layers)  # as long as the trained object lives: register its layers …
torch.save(net.state_dict(), path)  # … and save again
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
# A model without weights has an empty state dict, and that is all there is to load.
path, model = "stateless.pth", nn.Sequential(nn.ReLU(), nn.Flatten())
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/52972
- https://github.com/Lightning-AI/pytorch-lightning/issues/17798
- https://github.com/Lightning-AI/pytorch-lightning/issues/16526
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "arch/empty-state"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where nothing was found and something is expected, or nothing is known of what is expected."""
    if facts.found.tensors or (facts.has_model and not facts.expected.tensors):
        return
    extras = [extra.path for extra in facts.original.extras if extra.path]
    yield Finding(
        CODE,
        "error" if facts.has_model else "warning",
        "the checkpoint holds no tensor"
        + (f", and the model wants {count(len(facts.expected.tensors), 'tensor')}" if facts.has_model else ""),
        tuple(facts.expected.tensors),
        {"entries": extras[:50], "objects": [foreign.name for foreign in facts.original.foreign][:50]},
        (),
        _cause(facts, extras),
        "look at the code that saved it: an empty module, a list of modules, or a gathered state of another process",
        None,
        frozenset(d.mark for d in facts.differences),
    )


def _cause(facts: Facts, extras: list[str]) -> str:
    called = [foreign.name for foreign in facts.original.foreign if foreign.called]
    if called:
        return f"what was pickled is a call of {some(called)}; unpickling it would run that, and intact ran nothing"
    return f"what was saved is {some(extras)}" if extras else "an empty state dict was saved"


RULE = Rule(CODE, detect, page=__doc__ or "", needs_model=False)
