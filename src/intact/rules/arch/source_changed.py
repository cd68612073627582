"""The source of a class of the model is not the one of the save.

## Cause

A sealed checkpoint keeps a digest of the text of each class of the model. Another text is another release of a library, or a file
that somebody went on editing; mostly it does the same, and so it is information. Where the replay shows another behaviour that
begins in this very class, it is a warning, and what changed is shown where the text was kept (`include_source=True`).

## Example

```python file="scaled.py"
from torch import nn


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return self.inner(x) * 2
```

```python
import importlib
import linecache
import time
from pathlib import Path

import scaled
import torch

import intact

net, path = scaled.Scaled().eval(), "scaled.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),), include_source=True)
text = Path("scaled.py").read_text()
Path("scaled.py").write_text(text.replace("* 2", "* 2.5"))  # somebody went on editing
linecache.clearcache()
importlib.invalidate_caches()
model = importlib.reload(scaled).Scaled().eval()
report = intact.check(path, model)
```

Also: behaviour/output-differs, behaviour/diverges-at-module

## Fix

```python
Path("scaled.py").write_text(text)
linecache.clearcache()
model = importlib.reload(scaled).Scaled().eval()
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "again.safetensors", scaled.Scaled().eval()
intact.save(scaled.Scaled().eval(), path, example_inputs=(torch.randn(4, 8),))
```

## Source

- https://github.com/pytorch/pytorch/issues/6584
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "arch/source-changed"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields classes whose text differs; a warning where the behaviour differs from one of them on."""
    behaviour = facts.behaviour
    if behaviour is None or not behaviour.sources:
        return
    part = behaviour.replay.place if behaviour.replay is not None else None
    rows = sorted(behaviour.sources, key=lambda row: part is None or row.class_name != part.class_name)
    guilty = behaviour.differs and part is not None and rows[0].class_name == part.class_name
    names = [row.class_name for row in rows]
    yield Finding(
        CODE,
        "warning" if guilty else "info",
        f"the source of {count(len(names), 'class', 'classes')}, as `{names[0]}`, changed since the model was saved",
        (),
        {"classes": names, "lines": {row.class_name: list(row.lines) for row in rows if row.lines}},
        cause=f"outputs differ, and the runs part in `{names[0]}`" if guilty else f"the text of {some(names)} is another",
        help="go back to the commit or release of the save: `intact env FILE` says which; or compare the lines" if guilty else "",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
