"""The file names a class or function that its package, as installed here, does not have at that place.

## Cause

A pickle keeps the full name of every class: module and attribute. Packages move and rename them between versions
(`pathlib._local` of Python 3.13, `numpy._core` of numpy 2), drop them, or are another package of the same name: a project folder
`models` or `utils` that happens to be on the path. Unpickling then ends with "No module named" or "Can't get attribute", although
the package is installed and the tensors need none of it. intact looks for the name in the sources, without importing them.

## Example

```python
import sys
import types

import torch

import intact

module = sys.modules["blocks"] = types.ModuleType("blocks")
module.SPPF = type("SPPF", (), {"__module__": "blocks"})
path, model = "last.pt", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "neck": module.SPPF()}, path)
del module.SPPF  # an older copy of the project has no such class
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
state = intact.read(path)  # the object comes as an intact.Foreign, with what it held
state.pop("neck")
torch.save(state, path)
intact.load_into(model, path)
del sys.modules["blocks"]
```

## Look-alike

```python
from fractions import Fraction

path, model = "fractions.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "ratio": Fraction(1, 3)}, path)  # stands where the file says
```

## Source

- https://github.com/deepcam-cn/yolov5-face/issues/84
- https://github.com/python/cpython/issues/133789
- https://github.com/icey-zhang/SuperYOLO/issues/133
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from intact.containers.pickles import grade, has_moved
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some
from intact.files.modules import look_alikes

CODE = "version/moved-global"

NAMES_LIMIT = 1000
"""Names of one file that are looked for."""

SEARCHED_LIMIT = 3
"""Names whose new place is searched for in the sources of their package."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields names whose package is here and that are not in it; what torch itself lacks is a cause of its own."""
    of_file = {f.name: f.position for f in facts.original.foreign if grade(f.name, called=f.called) != "dangerous"}
    known = (name for name in sorted(facts.original.known) if not name.startswith("torch."))
    names = [name for name in islice(dict.fromkeys((*of_file, *known)), NAMES_LIMIT) if has_moved(name)]
    if not names:
        return
    now = {name: places for name in names[:SEARCHED_LIMIT] if (places := look_alikes(*_parted(name)))}
    where = "; ".join(f"`{name}` is now in {some(places)}" for name, places in now.items())
    them = "it is" if len(names) == 1 else "they are"
    yield Finding(
        CODE,
        "warning",
        f"{count(len(names), 'name')} in this file {'is' if len(names) == 1 else 'are'} not where {them} looked for, "
        f"although the package is here: {some(names)}",
        (),
        {"names": {name: of_file.get(name) for name in names}, "now": now},
        (),
        where or "another version of the package wrote the file, or another package of the same name is found first",
        "the tensors are read without them: intact.load_into(model, path); intact.read(path) gives the objects as inert records",
    )


def _parted(name: str) -> tuple[str, str]:
    module, _, attribute = name.rpartition(".")
    return module, attribute


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
