"""The file holds a pickled model object, not a state dict.

## Cause

`torch.save(model, path)` was called without `.state_dict()`. The file then names the classes of the model by module and name,
and unpickling it needs that very code: in another project it ends with "No module named 'models.yolo'", in a newer version
with attributes that are not there, and since torch 2.6 it is refused by default, because unpickling can run anything. The
weights themselves are ordinary tensors in the file; they are read without importing or calling anything that the file names.

## Example

```python
import torch
from torch import nn

import intact


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 2)


net, path = Net(), "whole.pt"
torch.save(net, path)  # the object, by reference to its class
model = Net()
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)  # nothing is unpickled; the class may be gone, renamed or another
original = net.state_dict()
```

## Look-alike

```python
# The values are nn.Parameter objects, and still a plain mapping of keys to tensors.
path, model = "parameters.pt", Net()
torch.save(dict(Net().named_parameters()), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/18325
- https://github.com/ultralytics/yolov5/issues/22
- https://github.com/ultralytics/yolov5/issues/353
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment import find_place
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.repairs.unnest import Unnest, relative

CODE = "arch/whole-model-pickle"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the pickled model whose tensors are the model's, or any pickled model where none is expected."""
    found = facts.found
    if not found.modules:
        return
    roots = _roots(tuple(found.modules))
    at: str | None = roots[0]
    if facts.has_model:
        placing = find_place(found, facts.expected, facts.at)
        at = placing.at if placing else None
    if at is None or at not in found.modules:
        return
    keys = tuple(key for key in found.tensors if relative(key, at) is not None)
    name = found.modules[at].class_name
    classes = sorted({m.class_name for m in found.modules.values() if not m.class_name.startswith("torch.nn.")})
    unexpected = frozenset(d.mark for d in facts.differences if d.kind == "unexpected")
    held = {relative(key, at) for key in keys}
    yield Finding(
        CODE,
        "error",
        f"the weights are inside a pickled `{name}`{f' under `{at}`' if at else ''}: {count(len(keys), 'tensor')}",
        keys,
        {"at": at, "class": name, "classes": classes, "modules": len(found.modules), "roots": roots},
        tuple(example(found.tensors[key], facts.expected.tensors.get(relative(key, at) or "")) for key in keys[:1]),
        f"the model object was saved instead of its state dict; unpickling it needs the code of {some(classes) or 'torch.nn'}"
        " as it was then, and torch refuses it by default",
        f"{LOSS_FREE}; the class is not needed for that",
        Unnest(at, module=True),
        unexpected | frozenset(d.mark for d in facts.of_kind("missing") if d.key in held),
    )


def _roots(paths: tuple[str, ...]) -> list[str]:
    """Modules that stand in no other module."""
    return [path for path in paths if not any(other != path and relative(path, other) is not None for other in paths)][:50]


RULE = Rule(CODE, detect, page=__doc__ or "", needs_model=False)
