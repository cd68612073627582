"""The checkpoint holds no states of random generators, and they are asked for.

## Cause

Dropout, shuffling and augmentation draw from the generators of Python, numpy and torch. Where they are not saved, the resumed run
sees other data and other masks: a good run, and another one, so that two losses cannot be compared any more.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Linear(4, 2)
path = "no-rng.pt"
torch.save({"model": net.state_dict()}, path)

model = {"model": net, "rng": intact.rng()}
report = intact.check(path, model)
```

## Fix

```python
intact.save({"model": net, "rng": intact.rng()}, "run/step-1")
drawn = torch.rand(3)
intact.load_into(model, "run/step-1")
assert torch.equal(torch.rand(3), drawn)
```

## Look-alike

```python
# Nobody asks for them: evaluation draws nothing
net = nn.Linear(4, 2)
path = "weights.pt"
torch.save({"model": net.state_dict()}, path)
model = {"model": net}
```

## Source

- https://github.com/huggingface/transformers/pull/11582
- https://github.com/vllm-project/speculators/issues/1027
- https://github.com/unit8co/darts/issues/2463
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import some

CODE = "state/rng-missing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields generators of random numbers that are asked for, and for which the file has nothing."""
    names = [o.name for o in facts.training.objects if o.kind == "rng" and not o.present] if facts.training else []
    if names:
        yield Finding(
            CODE,
            "warning",
            f"the checkpoint holds no states of random generators under {some(names)}: dropout and shuffling draw other numbers",
            tuple(names),
            {"objects": names},
            (),
            "the run was saved without intact.rng()",
            "the resumed run is as good, and another one; to continue bit for bit save the generators too",
        )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
