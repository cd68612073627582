"""Unpickling the file would run something that is known to do harm.

## Cause

A pickle is a program, and this one calls what no checkpoint needs: a shell, an import, a file, the network, or one of the many
functions of the standard library that lead there. intact calls nothing: it reads the file to its end, names what would be called
and at which byte, in the checkpoint itself and in every other pickle that the file carries, and reads the tensors all the same.
`torch.load(weights_only=True)` refuses the file, in the words in which it refuses a harmless class too.

## Example

```python
import os
import pickle

import torch

import intact


class Payload:
    def __reduce__(self):
        return os.system, ("true",)


path, model = "downloaded.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "note": Payload()}, path)
report = intact.check(path, model)
```

## Fix

```python
# The tensors can be read without running anything; whether you trust where they are from is another question.
original = {key: value.clone() for key, value in model.state_dict().items()}
state = {key: value for key, value in intact.read(path).items() if key != "note"}
torch.save(state, "clean.pth")
intact.load_into(model, "clean.pth")
```

## Look-alike

```python
import argparse

path, model = "arguments.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "args": argparse.Namespace(lr=0.1)}, path)  # a class that only holds data
```

## Source

- https://github.com/advisories/GHSA-655q-fx9r-782v
- https://github.com/pytorch/pytorch/security/advisories/GHSA-53q9-r3pm-6pq6
- https://docs.python.org/3/library/pickle.html
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.containers.pickles import grade
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.harm import code_execution

CODE = "safety/code-execution"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the names that unpickling would do harm by."""
    found = [f for f in facts.original.foreign if grade(f.name, called=f.called) == "dangerous"]
    if found:
        yield code_execution([(f.name, f.position, f.place) for f in found])


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
