"""Unpickling the file would call something that neither tensors nor plain data need.

## Cause

A pickle is a program: besides data it names functions and classes, and loading calls them. Objects of your own classes are stored
that way (a configuration, a callback), and so is every attack. intact calls none of them: such an object
is read as an inert `intact.Foreign` with its name, arguments and state, and the tensors are read all the same. `torch.load`
refuses the file by default since PyTorch 2.6, and with `weights_only=False` it calls whatever the file names.

## Example

```python
import torch

import intact


class Settings:
    def __init__(self, lr):
        self.lr = lr


path, model = "training.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "args": Settings(lr=0.1)}, path)
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
state = intact.read(path)  # nothing is called
settings = state.pop("args").state  # {"lr": 0.1}: save this as plain data next time
torch.save(state, path)
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "plain.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "args": {"lr": 0.1, "betas": (0.9, 0.999)}}, path)  # plain data needs no class
```

## Source

- https://github.com/pytorch/audio/issues/3911
- https://github.com/yl4579/StyleTTS2/issues/348
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.containers.pickles import grade, has_moved, is_missing
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "safety/unknown-global"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the names that unpickling would call, except the classes of a pickled model, which are a cause of their own."""
    classes = {module.class_name for module in facts.original.modules.values()}
    called = [f for f in facts.original.foreign if f.called and f.name not in classes and not f.name.startswith("torch.nn.")]
    called = [f for f in called if grade(f.name, called=True) == "unknown" and not is_missing(f) and not has_moved(f.name)]
    if not called:
        return
    names = [foreign.name for foreign in called]
    yield Finding(
        CODE,
        "warning",
        f"unpickling this file would call {count(len(names), 'name')} that tensors and plain data do not need: {some(names)}",
        (),
        {"names": {foreign.name: {"count": foreign.count, "position": foreign.position} for foreign in called}},
        (),
        "the file holds objects of classes that intact does not know, or something that is meant to be run; torch.load refuses "
        "it by default",
        "intact read it and called nothing; do not load it with weights_only=False unless you know where it is from",
    )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
