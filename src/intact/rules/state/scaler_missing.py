"""The checkpoint holds no state for a gradient scaler that is in use.

## Cause

Mixed precision scales the loss, and finds the largest scale that works by trying. A new scaler begins at its first guess, so that
the first steps after a restart overflow and are skipped, or gradients vanish for a while.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Linear(4, 2)
path = "no-scaler.pt"
torch.save({"model": net.state_dict()}, path)

model = {"model": net, "scaler": torch.amp.GradScaler("cpu")}
report = intact.check(path, model)
```

## Fix

```python
saved = torch.amp.GradScaler("cpu", init_scale=1024.0)
intact.save({"model": net, "scaler": saved}, "run/step-1")
intact.load_into(model, "run/step-1")
assert model["scaler"].get_scale() == 1024.0
```

## Look-alike

```python
# It is disabled: it has no state, and needs none
net = nn.Linear(4, 2)
path = "float32.pt"
torch.save({"model": net.state_dict()}, path)
model = {"model": net, "scaler": torch.amp.GradScaler("cpu", enabled=False)}
```

## Source

- https://github.com/ultralytics/ultralytics/pull/22189
- https://github.com/huggingface/transformers/pull/11663
- https://github.com/allenai/tango/issues/154
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import some

CODE = "state/scaler-missing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields gradient scalers in use for which the file has nothing."""
    names = (
        [o.name for o in facts.training.objects if o.kind == "scaler" and o.wanted and not o.present] if facts.training else []
    )
    if names:
        yield Finding(
            CODE,
            "warning",
            f"the checkpoint holds no state for {some(names)}: the scale of gradients begins at its start",
            tuple(names),
            {"scalers": names},
            (),
            "the scaler was not saved, or was disabled when it was",
            "the first steps may be skipped until the scale has come down; save the scaler too",
        )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
