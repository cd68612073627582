"""Values are too large for the model's dtype.

## Cause

The model's dtype ends before the file's values do. float16 ends at 65504, so a learned scale of 70000 becomes `inf`, and the
first forward pass gives NaN. An int64 counter of 3221225472 tokens copied into int32 turns negative. Neither raises nor warns
while loading. bfloat16 has the range of float32, float16 has not, which is why weights trained in bfloat16 may not fit
float16.

## Example

```python
import torch
from torch import nn

import intact


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


net, path = Scale(), "scale.pth"
net.scale.data.copy_(torch.tensor([1.0, 2.0, 512.0, 70000.0]))
torch.save(net.state_dict(), path)
model = Scale().half()
report = intact.check(path, model)
(finding,) = report.findings
example = finding.evidence["tensors"]["scale"]["example"]  # {'index': [3], 'before': 70000.0, 'after': inf}
```

## Fix

```python
model = model.float()  # the range of the file; bfloat16 has it too, with fewer digits
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "largest-half.pth", Scale().half()
torch.save({"scale": torch.tensor([1.0, 2.0, 512.0, 65504.0])}, path)  # the largest float16 there is, and it fits
```

## Source

- https://github.com/tensorflow/tensorflow/issues/43719
- https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/3312
- https://github.com/pytorch/pytorch/issues/126000
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.casting import findings
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "dtype/overflow"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the casts of this kind, with figures."""
    yield from findings(
        facts, CODE, "overflow", "the model's dtype has a smaller range than the values of the file; torch casts without a word"
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
