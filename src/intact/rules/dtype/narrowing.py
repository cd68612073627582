"""Values are rounded to the model's narrower dtype.

## Cause

The file has more digits than the model: float32 weights copied into a bfloat16 model, float64 into float32. torch rounds while
it copies and says nothing. Most weights bear it; a router bias in a narrow band or a rotary table does not: 64 different
values become a handful. Going back with `.float()` afterwards does not bring the digits back. How many values change, and by
how much, is counted before anything is touched. A buffer that was only caught up in `model.to(torch.bfloat16)` keeps the
file's dtype.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Linear(8, 8, bias=False)
with torch.no_grad():
    net.weight.copy_(7 + torch.arange(64.0).reshape(8, 8) / 1000)  # bfloat16 steps by 0.03125 here
path = "router.pth"
torch.save(net.state_dict(), path)
model = nn.Linear(8, 8, bias=False).to(torch.bfloat16)
report = intact.check(path, model)
(finding,) = report.findings
changed = finding.evidence["changed"]  # 63 of 64
```

## Fix

```python
model = model.float()  # take the digits of the file, and cast later, where it is meant
report = intact.load_into(model, path)
original = net.state_dict()
# if the rounding is meant: intact.load_into(model, path, allow=["dtype/narrowing"])
```

## Look-alike

```python
# A float32 file whose values all came from bfloat16: nothing is rounded (dtype/widening).
path, model = "upcast.pth", nn.Linear(8, 8).to(torch.bfloat16)
torch.save({key: value.float() for key, value in model.state_dict().items()}, path)
```

## Source

- https://github.com/sgl-project/sglang/pull/37133
- https://github.com/huggingface/transformers/issues/25681
- https://github.com/pytorch/pytorch/issues/126000
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/narrowing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(facts, CODE, "are rounded", "the model has fewer digits than the file; torch rounds without a word")


RULE = Rule(CODE, detect, page=__doc__ or "")
