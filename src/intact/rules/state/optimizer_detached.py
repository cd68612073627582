"""The optimizer holds tensors that no model has any more, and some of the model's parameters never move.

## Cause

The optimizer was built first, and then parameters were replaced: a new head, a conversion of layers, a load with `assign=True`.
It goes on moving the old tensors. Nothing fails; the loss falls a little, and stays.

## Example

```python
import torch
from torch import nn

import intact


def trained(net, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return {"model": net, "optimizer": optimizer}


net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
path = "trained.pt"
torch.save({n: part.state_dict() for n, part in trained(net, torch.optim.Adam(net.parameters())).items()}, path)

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
net[1] = nn.Linear(8, 2)  # after the optimizer
report = intact.check(path, model)
```

## Fix

```python
model["optimizer"] = torch.optim.Adam(net.parameters())  # after the model has its last form
assert intact.load_into(model, path).verdict == "intact"
```

## Look-alike

```python
class WithTemperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


# The optimizer also holds a parameter of the loss, which is not among the objects; the model is covered
net, loss = nn.Linear(4, 2), WithTemperature()
both = [*net.parameters(), *loss.parameters()]
path = "with-temperature.pt"
torch.save({n: part.state_dict() for n, part in trained(net, torch.optim.SGD(both, 0.1, momentum=0.9)).items()}, path)
model = {"model": net, "optimizer": torch.optim.SGD(both, 0.1, momentum=0.9)}
```

## Source

- https://github.com/pytorch/pytorch/pull/102212
- https://github.com/IntelLabs/distiller/pull/182
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.training import OptimizerFacts
from intact.core.wording import count, some

CODE = "state/optimizer-detached"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers that hold tensors of no model, while a model has parameters that no optimizer holds."""
    for one in facts.training.optimizers if facts.training else ():
        if one.left_behind:
            yield _when_saved(one)
        if not one.adrift:
            continue
        yield Finding(
            CODE,
            "warning",
            f"`{one.name}` holds {count(len(one.detached), 'tensor')} that no model has, "
            f"and no optimizer holds {some(one.uncovered)}",
            one.uncovered,
            {"detached": [one.key(place) for place in one.detached], "uncovered": list(one.uncovered)},
            (),
            "parameters were replaced (a new head, a conversion, assign=True) after the optimizer was built",
            "build the optimizer after the model has its last form: as it is, these parameters never move",
        )


def _when_saved(one: OptimizerFacts) -> Finding:
    return Finding(
        CODE,
        "warning",
        f"when the checkpoint was saved, `{one.name}` held {count(len(one.left_behind), 'tensor')} that no model had, "
        f"and did not hold {some(one.left_behind)}",
        one.left_behind,
        {"uncovered": list(one.left_behind)},
        (),
        "parameters were replaced after the optimizer of that run was built, and have not learned since",
        "look at the run that was saved: what it says of these parameters is what they were initialised to",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
