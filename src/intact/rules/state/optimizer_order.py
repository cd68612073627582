"""The parameters of the optimizer stand in another order than in the checkpoint.

## Cause

Torch matches the state of an optimizer by position, and looks at no name. Where parameters were collected in a set, layers
defined in another order, or groups put together otherwise, one parameter gets the moments of another: with equal shapes without
a word, with other shapes as an error in the first step that names no parameter.

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
saved = trained(net, torch.optim.Adam([p for p in net.parameters()][::-1]))
path = "reversed.pt"
torch.save({name: part.state_dict() for name, part in saved.items()}, path)

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
report = intact.check(path, model)
```

## Fix

```python
intact.load_into(model, path)  # each parameter gets the state that was kept for it
there = saved["optimizer"].state_dict()["state"]
here = model["optimizer"].state_dict()["state"]
assert all(torch.equal(here[place]["exp_avg"], there[3 - place]["exp_avg"]) for place in range(4))
```

## Look-alike

```python
# Two parameters of one shape in the order in which they were saved: there is nothing to repair
net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
path = "same-order.pt"
torch.save({n: part.state_dict() for n, part in trained(net, torch.optim.Adam(net.parameters())).items()}, path)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
```

## Source

- https://github.com/pytorch/pytorch/pull/134107
- https://github.com/pytorch/pytorch/pull/6031
- https://github.com/facebookresearch/schedule_free/issues/32
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.training import OptimizerFacts
from intact.core.wording import count, some
from intact.options import is_other_class
from intact.repairs.by_name import ByName

CODE = "state/optimizer-order"

_EVIDENCE = {
    "name": "the file names them",
    "shape": "only one order has these shapes",
    "order": "only the order of the model fits",
    "position": "",
    "unknown": "",
}


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers whose parameters stand in another order than in the file, in groups of the same sizes."""
    for one in facts.training.optimizers if facts.training else ():
        if one.found is None or not one.same_sizes or is_other_class(one):
            continue
        if one.pairing.known_by == "unknown" and one.expected.parameters:
            yield _untold(one)
        elif moved := one.moved:
            yield _moved(one, moved)


def _moved(one: OptimizerFacts, moved: tuple[int, ...]) -> Finding:
    names = [one.shown(here) for here in moved]
    return Finding(
        CODE,
        "error",
        f"{len(moved)} of {count(len(one.expected.parameters), 'parameter')} of `{one.name}` stand elsewhere than in the file: "
        f"the state at position {moved[0]} is that of `{_there(one, moved[0])}`, and there is {some(names[:1])} here",
        tuple(one.key(here, slot) for here in moved for slot in _slots(one, here)) or tuple(one.key(here) for here in moved),
        {
            "parameters": names,
            "positions": {one.shown(h): one.pairing.places[h] for h in moved},
            "known_by": one.pairing.known_by,
        },
        tuple(Example(f"{here}: {_there(one, here)}", f"{here}: {one.shown(here)}") for here in moved[:3]),
        "the optimizer was given its parameters in another order, and torch matches state by position; "
        + _EVIDENCE[one.pairing.known_by],
        "loss-free repair: `intact.load_into` gives each parameter the state that was kept for it",
        ByName(one.name, one.moves, tuple(names)),
    )


def _there(one: OptimizerFacts, place: int) -> str:
    assert one.found is not None
    parameter = one.found.parameters[place] if place < len(one.found.parameters) else None
    return (parameter.name if parameter else "") or one.pairing.names.get(place, f"#{place}")


def _slots(one: OptimizerFacts, here: int) -> tuple[str, ...]:
    assert one.found is not None
    return tuple(one.found.parameters[one.pairing.places[here]].state)


def _untold(one: OptimizerFacts) -> Finding:
    assert one.found is not None
    wrong = [one.shown(place) for place in range(len(one.expected.parameters))]
    return Finding(
        CODE,
        "error",
        f"the state of `{one.name}` belongs to its {count(len(wrong), 'parameter')} in another order, and several orders fit",
        tuple(one.key(place) for place in range(len(wrong))),
        {"parameters": wrong, "known_by": one.pairing.known_by},
        (),
        "shapes contradict the order here, the file names no parameters, and some of them have the same shape",
        "build the optimizer in the order of the run that was saved, or leave it out; `intact.save` keeps the names, and so do "
        "optimizers that are built from named_parameters()",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
