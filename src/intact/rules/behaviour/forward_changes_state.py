"""The first call of a loaded model overwrites what was loaded, because the flag against it is not saved.

## Cause

A layer such as ActNorm sets its weights from the first batch it sees, and remembers that in a plain attribute:
`self.initialized = True`. The state dict has the weights and not the attribute. A model that is built anew and loaded says
"not yet", and the first batch overwrites the weights that were just loaded; nothing is missing and nothing is unexpected.

## Example

```python file="actnorm.py"
import torch
from torch import nn


class ActNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(width))
        self.initialized = False  # a plain attribute

    def forward(self, x):
        if not self.initialized:
            self.shift.data.copy_(-x.mean(0))
            self.initialized = True
        return x + self.shift
```

```python
import torch
from actnorm import ActNorm

import intact

model = ActNorm(4)
model(torch.randn(16, 4))
report = intact.audit(model)
```

## Fix

```python
done = torch.tensor(model.initialized)
del model.initialized
model.register_buffer("initialized", done)  # in the class: self.register_buffer("initialized", torch.tensor(False))
report = intact.audit(model)
```

## Look-alike

```python file="counted.py"
from torch import nn


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.warned = nn.BatchNorm1d(4), False

    def forward(self, x):
        if not self.warned:
            self.warned = True  # a flag that touches no weights
        return self.norm(x)  # running statistics are buffers, and saved
```

```python
from counted import Counted

model = Counted()
model(torch.randn(16, 4))
```

## Source

- https://github.com/rosinality/glow-pytorch/issues/6
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some
from intact.losses import graded, loss

CODE = "behaviour/forward-changes-state"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields plain flags that let a method overwrite saved tensors once."""
    for items in graded(facts, "flag"):
        first = items[0]
        written = [key for item in items for key in item.keys]
        when = "its first use after loading" if first.grade == "doubtful" else "its first use"
        yield loss(
            CODE,
            items,
            f"{count(len(items), 'flag')}, as `{first.path}` of `{first.owner_class}`, {'is' if len(items) == 1 else 'are'} not "
            f"saved, and {when} writes {some(written)}",
            f"of `{first.path}`: {first.evidence} while it says so, and a new object says so again",
            f'make the flag a buffer: `self.register_buffer("{first.name}", torch.tensor(False))`',
        )


def written(facts: Facts) -> Iterator[Finding]:
    """Yields tensors that a replay changed in a model with the file's weights, and the recorded run did not."""
    behaviour = facts.behaviour
    if behaviour is None or not behaviour.written:
        return
    keys = behaviour.written
    yield Finding(
        CODE,
        "warning",
        f"running the loaded model once changes {count(len(keys), 'tensor')}: {some(keys)}",
        tuple(keys),
        {"keys": list(keys)},
        cause="it changed none of them when it was saved: a flag that keeps it from doing so is not saved",
        help="make the flag a buffer; after loading, set it by hand before the first call",
    )


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
REPLAY = Rule(CODE, written, "replay", page=__doc__ or "")
