"""The model's dtype differs and holds every value of the file exactly.

## Cause

The file was saved in a narrower dtype than the model has: a float16 export loaded into a float32 model. Every float16 and
bfloat16 number is a float32 number, so nothing is lost and there is nothing to do. Outputs may still differ in the third digit
from those of the half model, because the arithmetic differs, not the weights. Digits that were rounded away when the file was
written do not come back.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).half()
path = "export.pth"
torch.save(net.state_dict(), path)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))  # float32
report = intact.check(path, model)
assert report.verdict == "intact"
```

## Fix

```python
report = intact.load_into(model, path)  # nothing to fix
original = {key: value.float() for key, value in net.state_dict().items()}
```

## Look-alike

```python
path, model = "half.pth", nn.Linear(4, 8).half()  # float16 on both sides: nothing is cast
torch.save(nn.Linear(4, 8).half().state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/39428
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import castings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example
from intact.repairs.cast import Cast

CODE = "dtype/widening"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts that lose nothing, as information."""
    mine = [casting.difference for casting in castings(facts) if casting.code == CODE]
    pairs = sorted({(d.found.dtype, d.expected.dtype) for d in mine if d.found and d.expected})
    if not mine:
        return
    yield Finding(
        CODE,
        "info",
        f"{count(len(mine), 'tensor')} cast exactly: {', '.join(f'{a} to {b}' for a, b in pairs)}, no value changes",
        tuple(d.key for d in mine),
        {"casts": [list(pair) for pair in pairs]},
        tuple(example(d.found, d.expected) for d in mine[:3]),
        "the file was saved in another dtype than the model has",
        "",
        Cast(tuple((d.key, d.expected.dtype) for d in mine if d.expected), lossless=True),
        frozenset(d.mark for d in mine),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
