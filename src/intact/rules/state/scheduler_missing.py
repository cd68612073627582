"""The checkpoint holds no state for a scheduler.

## Cause

The scheduler was not saved. A new one stands at its beginning, and at its next step it sets the learning rate of a warm-up or
of the first epoch, whatever the restored optimizer had: the loss has a step, and a plateau after each restart.

## Example

```python
import torch
from torch import nn

import intact


def stepped(steps, horizon=20):
    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, horizon)
    for _ in range(steps):
        net(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        scheduler.step()
    return {"model": net, "optimizer": optimizer, "scheduler": scheduler}


saved = stepped(8)
path = "no-scheduler.pt"
torch.save({"model": saved["model"].state_dict(), "optimizer": saved["optimizer"].state_dict()}, path)

model = stepped(0)
report = intact.check(path, model)
```

## Fix

```python
intact.save(saved, "run/step-8")
intact.load_into(model, "run/step-8")
assert model["scheduler"].last_epoch == 8
```

## Look-alike

```python
# A trainer calls it something else; there is only one thing that it can be
saved = stepped(8)
path = "lr_schedulers.pt"
state = {name: part.state_dict() for name, part in saved.items()}
torch.save({"model": state["model"], "optimizer": state["optimizer"], "lr_schedulers": [state["scheduler"]]}, path)
model = stepped(0)
```

## Source

- https://github.com/YehLi/xmodaler/issues/15
- https://github.com/alibaba/TorchEasyRec/pull/664
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import some

CODE = "state/scheduler-missing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields schedulers for which the file has nothing."""
    training = facts.training
    names = [one.name for one in training.schedulers if one.found is None] if training else []
    if not training or not names:
        return
    yield Finding(
        CODE,
        "warning",
        f"the checkpoint holds no state for {some(names)}: the schedule begins at its start",
        tuple(names),
        {"schedulers": names, "steps": {one.name: one.found.step for one in training.optimizers if one.found}},
        (),
        "the scheduler was not saved; at its next step it sets the learning rate of its own beginning",
        "save the scheduler too; for this file, step it to where the run was before going on",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
