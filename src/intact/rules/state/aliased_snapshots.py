"""An entry that should hold the weights of another moment is the same memory as the present ones.

## Cause

`best = model.state_dict()` keeps references, not copies, and training goes on in the same memory. What is saved as the best
weights are the last ones; the file has them twice, under two names.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Linear(4, 2)
best = net.state_dict()  # no copy
path = "best.pt"
torch.save({"model": net.state_dict(), "best": best}, path)

model = nn.Linear(4, 2)
report = intact.check(path, model)
```

Also: arch/nested-state, which says that the weights are one level down.

## Fix

```python
import copy

best = copy.deepcopy(net.state_dict())  # when it is the best, not later
original = net.state_dict()
torch.save({"model": original, "best": best}, "copied.pt")
intact.load_into(model, "copied.pt", at="model")
```

## Look-alike

```python
# The last epoch was the best: equal values, and memory of its own
net = nn.Linear(4, 2)
path, model = "last-is-best.pt", {"model": nn.Linear(4, 2)}
torch.save({"model": net.state_dict(), "best": copy.deepcopy(net.state_dict())}, path)
```

## Source

- https://github.com/WenjieDu/PyPOTS/issues/667
- https://github.com/pytorch/tutorials/pull/188
- https://github.com/pytorch/pytorch/issues/34765
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count

CODE = "state/aliased-snapshots"

_SNAPSHOT = re.compile(
    r"(?:^|[._/])(best|ema|avg|average|averaged|swa|snapshot|initial|init|previous|prev|old|backup|earlier|last_good)(?:$|[._/\[0-9])",
    re.IGNORECASE,
)
"""How entries are called that are meant to hold the weights of another moment."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields entries that are called the weights of another moment, and share all their memory with the present ones."""
    if not facts.original.ties:
        return
    pairs: dict[tuple[str, str], list[str]] = {}
    sizes: dict[str, int] = {}
    for tensor in facts.original.tensors.values():
        sizes[_top(tensor.key)] = sizes.get(_top(tensor.key), 0) + 1
    for group in facts.original.ties:
        tops = list(dict.fromkeys(_top(key) for key in group))
        for snapshot in (top for top in tops if _SNAPSHOT.search(top)):
            for other in (top for top in tops if top != snapshot and not _SNAPSHOT.search(top)):
                pairs.setdefault((snapshot, other), []).append(next(key for key in group if _top(key) == snapshot))
    for (snapshot, other), keys in pairs.items():
        if len(keys) == sizes[snapshot]:
            yield Finding(
                CODE,
                "warning",
                f"`{snapshot}` is the same memory as `{other}`: all {count(len(keys), 'tensor')} of it followed the training",
                tuple(keys),
                {"snapshot": snapshot, "same_as": other},
                (),
                "state_dict() gives references, so that a snapshot taken without a copy is that of the last step",
                "the weights of the other moment are not in this file; take them with copy.deepcopy(model.state_dict())",
            )


def _top(key: str) -> str:
    return re.split(r"[.\[]", key, maxsplit=1)[0]


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
