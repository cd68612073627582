"""Complex values lose their imaginary part.

## Cause

The file has a complex tensor (spectral weights, a rotary table of the form cos + i·sin, a state space kernel) and the model a
real one under the same key and of the same shape. Copying keeps the real part and drops the imaginary one: half of what was
learned. Of all losses this is the only one that torch warns about, once, and in a log that warning drowns. Often the class was
rewritten to keep the two parts as separate real tensors; then the shapes or the names would differ too, and the conversion is
a choice.

## Example

```python
import torch
from torch import nn

import intact


class Spectral(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.filter = nn.Parameter(torch.ones(2, 3, dtype=dtype))


net, path = Spectral(torch.complex64), "spectral.pth"
net.filter.data.copy_(torch.polar(torch.ones(2, 3), torch.arange(6.0).reshape(2, 3)))
torch.save(net.state_dict(), path)
model = Spectral(torch.float32)
report = intact.check(path, model)
(finding,) = report.findings
figures = finding.evidence["tensors"]["filter"]  # changed: 5, imaginary: 5; the sixth is 1 + 0i
```

## Fix

```python
model = Spectral(torch.complex64)  # as it was saved
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "real-after-all.pth", Spectral(torch.float32)
torch.save({"filter": torch.ones(2, 3, dtype=torch.complex64)}, path)  # every imaginary part is zero: nothing is lost
```

## Source

- https://github.com/pytorch/pytorch/pull/44788
- https://github.com/karpathy/llama2.c/pull/103
- https://github.com/MagriLab/KolSol/issues/30
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/complex-to-real"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(facts, CODE, "lose their imaginary part", "the model has a real tensor where the file has a complex one")


RULE = Rule(CODE, detect, page=__doc__ or "")
