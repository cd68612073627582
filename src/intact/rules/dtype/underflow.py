"""Values are too small for the model's dtype and become zero.

## Cause

float16 has no number between 0 and 6e-8. Layer scales that start at 1e-5 and shrink, small normalisation weights, running
variances of dead channels: copied into a half model they become exactly zero, and a branch of the network does nothing from
then on. A running variance of zero divides by `eps` alone. torch says nothing while it copies.

## Example

```python
import torch
from torch import nn

import intact


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4))


net, path = Block(), "layer-scale.pth"
net.gamma.data.copy_(torch.tensor([1.0, 0.5, 1e-9, -2e-8]))
torch.save(net.state_dict(), path)
model = Block().half()
report = intact.check(path, model)
(finding,) = report.findings
figures = finding.evidence["tensors"]["gamma"]  # changed: 2, underflowed: 2
```

## Fix

```python
model = model.float()  # bfloat16 reaches down to 1e-38 as well, with fewer digits
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "zeros.pth", Block().half()
torch.save({"gamma": torch.tensor([1.0, 0.5, 0.0, 0.0])}, path)  # zero in the file is zero in the model
```

## Source

- https://github.com/NVIDIA/TensorRT/issues/2902
- https://github.com/mahmoodlab/UNI/issues/18
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/underflow"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts,
        CODE,
        "become zero",
        "the model's dtype has no number between these values and zero; torch casts without a word",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
