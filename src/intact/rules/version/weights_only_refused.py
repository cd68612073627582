"""`torch.load` refuses the file by default, for the sake of objects that only hold data.

## Cause

Since PyTorch 2.6 `torch.load` reads tensors and plain values only. A best score that is a numpy number, a table of results, an
`argparse.Namespace` or a path among the weights is enough for "Weights only load failed", and the way out that it offers runs
everything the file names. intact says which objects it is about; the tensors are readable without them, and nothing is run.

## Example

```python
import numpy as np
import torch

import intact

path, model = "model_best.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "best_acc": np.float64(91.25)}, path)
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
state = intact.read(path)
state["best_acc"] = float(91.25)  # plain numbers next time
torch.save(state, path)
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "plain.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "best_acc": 91.25, "lr": [0.1, 0.01]}, path)
```

## Source

- https://docs.pytorch.org/docs/stable/notes/serialization.html#weights-only
- https://github.com/pytorch/pytorch/releases/tag/v2.6.0
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from intact.containers.pickles import grade
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "version/weights-only-refused"

_REFUSED = re.compile(r"(?:numpy|datetime)\..+|collections\.(?:deque|defaultdict)|builtins\.(?:slice|range|frozenset|object)")
"""Names that intact reads as data and that torch 2.13 does not allow unless somebody adds them."""

_OTHER_SYSTEMS = re.compile(r"pathlib\.(?:_local\.)?" + ("PosixPath" if os.name == "nt" else "WindowsPath"))
"""Paths that cannot be made on this system, whatever the options of torch.load."""

_TORCH_FORMATS = ("torch-zip", "torch-legacy")


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the objects for whose sake torch refuses a file that nothing else is wrong with."""
    if facts.container not in _TORCH_FORMATS or facts.original.modules:
        return
    found = [f.name for f in facts.original.foreign if grade(f.name, called=f.called) == "data"]
    names = [*sorted(name for name in facts.original.known if _REFUSED.fullmatch(name)), *found]
    if not names:
        return
    elsewhere = [name for name in names if _OTHER_SYSTEMS.fullmatch(name)]
    foreign = f"; {some(elsewhere)} cannot be made on this system at all, weights_only=False or not" if elsewhere else ""
    yield Finding(
        CODE,
        "warning",
        f"torch.load refuses this file by default, because of {count(len(names), 'name')} that only hold data: {some(names)}",
        (),
        {"names": names},
        (),
        "since 2.6 torch.load allows tensors and plain values only; numbers of numpy, paths and argument records are neither"
        + foreign,
        "the tensors are read without them: intact.load_into(model, path); nothing is run, and weights_only=False is not needed",
    )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
