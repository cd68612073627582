"""The state that is kept for a parameter has another shape than the parameter.

## Cause

The parameter was made anew in another size, usually a head for another number of classes, and the optimizer's state is that of
the old one. Torch loads it, and the first step stops with sizes that must match, without a name.

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
path = "two-classes.pt"
torch.save({n: part.state_dict() for n, part in trained(net, torch.optim.Adam(net.parameters())).items()}, path)

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 5))
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
report = intact.check(path, model)
```

Also: arch/resized-head, which is the same change in the model.

## Fix

```python
intact.load_into(model, path, allow=["arch/resized-head", "state/optimizer-shape"])  # the new head starts afresh
assert sorted(model["optimizer"].state_dict()["state"]) == [0, 1]
```

## Look-alike

```python
class Factored(torch.optim.Optimizer):
    # Keeps a row and a column for each matrix: their shapes are not the parameter's, and need not be
    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    def step(self):
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            if parameter.dim() == 2:
                state["row"], state["column"] = parameter.grad.square().mean(1), parameter.grad.square().mean(0)


net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
path = "factored.pt"
torch.save({name: part.state_dict() for name, part in trained(net, Factored(net.parameters())).items()}, path)
model = {"model": net, "optimizer": Factored(net.parameters())}
```

## Source

- https://github.com/facebookresearch/schedule_free/issues/32
- https://github.com/piergiaj/pytorch-i3d/issues/38
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.training import OptimizerFacts
from intact.core.wording import by_permission, count, shape_text, some
from intact.options import is_other_class
from intact.repairs.by_name import ByName

CODE = "state/optimizer-shape"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers with state of another shape than its parameter."""
    for one in facts.training.optimizers if facts.training else ():
        if one.found is None or not one.pairing.unfit or is_other_class(one):
            continue
        names = [one.shown(here) for here in one.pairing.unfit]
        yield Finding(
            CODE,
            "error",
            f"the state of {count(len(names), 'parameter')} of `{one.name}` has another shape than the parameter: {some(names)}",
            tuple(one.key(here, slot) for here in one.pairing.unfit for slot in _shapes(one, here)),
            {"parameters": names},
            tuple(_example(one, here) for here in one.pairing.unfit[:3]),
            "these parameters were made anew in another size (a new head, a larger vocabulary)",
            by_permission(CODE, "what was kept for them means nothing in another shape, and they start afresh"),
            ByName(one.name, dropped=tuple(names)),
        )


def _shapes(one: OptimizerFacts, here: int) -> dict[str, tuple[int, ...]]:
    assert one.found is not None
    state = one.found.parameters[one.pairing.places[here]].state
    return {slot: value.shape for slot, value in state.items() if value.shape}


def _example(one: OptimizerFacts, here: int) -> Example:
    slot, shape = next(iter(_shapes(one, here).items()), ("", ()))
    own = one.expected.parameters[here].shape or ()
    return Example(f"{one.key(here, slot)}  {shape_text(shape)}", f"{one.shown(here)}  {shape_text(own)}")


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
