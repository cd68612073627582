"""The file holds objects of a class whose module is not here.

## Cause

Training programs save more than weights: a configuration object, a callback, an argument parser of their own. Unpickling such
an object imports its module, and on another machine, or after the project was renamed, there is none: `ModuleNotFoundError`,
although the tensors need nothing of it. intact imports nothing; it reads the object as an inert record and the tensors as
they are.

## Example

```python
import sys
import types

import torch

import intact

module = sys.modules["parse_config"] = types.ModuleType("parse_config")
module.ConfigParser = type("ConfigParser", (), {"__module__": "parse_config"})
path, model = "model_best.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "config": module.ConfigParser()}, path)
del sys.modules["parse_config"]  # another machine
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
state = intact.read(path)  # the object comes as an intact.Foreign, with what it held
state.pop("config")
torch.save(state, path)
intact.load_into(model, path)
```

## Look-alike

```python
import argparse

path, model = "arguments.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "args": argparse.Namespace(lr=0.1)}, path)  # that module is everywhere
```

## Source

- https://github.com/ultralytics/yolov5/issues/353
- https://pytorch.org/tutorials/beginner/saving_loading_models.html
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.containers.pickles import is_missing
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "version/missing-class"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the classes whose modules are not here, except those of a pickled model, which are a cause of their own."""
    of_model = {module.class_name for module in facts.original.modules.values()}
    gone = [f for f in facts.original.foreign if f.name not in of_model and is_missing(f)]
    if not gone:
        return
    names = [foreign.name for foreign in gone]
    yield Finding(
        CODE,
        "warning",
        f"{count(len(names), 'name')} in this file {_lead(names)} to modules that are not here: {some(names)}",
        (),
        {"names": {foreign.name: {"count": foreign.count, "position": foreign.position} for foreign in gone}},
        (),
        "objects of the program that wrote the file were saved beside the tensors; unpickling imports their modules",
        "the tensors are read without them: intact.load_into(model, path); intact.read(path) gives the objects as inert records",
    )


def _lead(names: list[str]) -> str:
    return "leads" if len(names) == 1 else "lead"


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
