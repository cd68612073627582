"""Another class of optimizer wrote the state.

## Cause

Training was started with one optimizer and resumed with another, and the state dict of an optimizer does not name its class.
SGD's state in Adam raises `KeyError: 'step'` with the optimizer half overwritten. AdamW's state in Adam is worse: it loads, and a
flag in its groups turns Adam into AdamW without a word.

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


net = nn.Linear(4, 2)
saved = trained(net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9))
path = "sgd.pt"
torch.save({name: part.state_dict() for name, part in saved.items()}, path)

net = nn.Linear(4, 2)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
report = intact.check(path, model)
```

## Fix

```python
model["optimizer"] = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)  # the class that was saved
intact.load_into(model, path)
there = saved["optimizer"].state_dict()["state"][0]["momentum_buffer"]
assert torch.equal(model["optimizer"].state_dict()["state"][0]["momentum_buffer"], there)
```

## Look-alike

```python
# An old release wrote fewer flags into the groups; the class is the same
net = nn.Linear(4, 2)
state = trained(net, torch.optim.Adam(net.parameters()))["optimizer"].state_dict()
for group in state["param_groups"]:
    for name in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"):
        del group[name]
path = "old-adam.pt"
torch.save({"model": net.state_dict(), "optimizer": state}, path)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
```

## Source

- https://github.com/ultralytics/yolov3/issues/80
- https://github.com/pytorch/pytorch/issues/7499
- https://github.com/pytorch/pytorch/issues/146157
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.training import CLASS_FLAGS, OptimizerFacts, related
from intact.core.wording import by_permission, some
from intact.options import is_other_class, missing_options, option_rows, unknown_state
from intact.repairs.by_name import ByName

CODE = "state/optimizer-class"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers whose state another class wrote: of another kind, or alike with another meaning."""
    for one in facts.training.optimizers if facts.training else ():
        if one.found is None:
            continue
        if is_other_class(one):
            yield _other_kind(one)
        else:
            yield from _alike(one)


def _other_kind(one: OptimizerFacts) -> Finding:
    assert one.found is not None
    kept, settings, unknown = one.found.state_names, missing_options(one), unknown_state(one)
    own = one.expected.class_name.rpartition(".")[2]
    missing = f" and no {some(settings)}" if settings else ""
    return Finding(
        CODE,
        "error",
        f"the state of `{one.name}` is that of {_writer(one)}: it has {some(kept) if kept else 'no state'}{missing}, "
        f"and {own} cannot go on with it",
        tuple(
            one.key(here, slot)
            for here, there in sorted(one.pairing.places.items())
            for slot in one.found.parameters[there].state
        ),
        {
            "found_class": one.found.class_name,
            "class": one.expected.class_name,
            "state": list(kept),
            "missing_settings": settings,
            "unknown_state": unknown,
        },
        (Example(", ".join(kept), own),),
        "training was started with one optimizer and resumed with another",
        by_permission(CODE, f"build the optimizer that was saved; otherwise `{one.name}` starts afresh"),
        ByName(one.name, dropped=tuple(one.shown(place) for place in range(len(one.expected.parameters))) or (one.name,)),
    )


def _writer(one: OptimizerFacts) -> str:
    assert one.found is not None
    return one.found.class_name.rpartition(".")[2] or "another class of optimizer"


def _alike(one: OptimizerFacts) -> Iterator[Finding]:
    assert one.found is not None
    flags = [row for row in option_rows(one) if row.name in CLASS_FLAGS]
    known, own_class = one.found.class_name, one.expected.class_name
    named = bool(known) and not related(known, one.found.bases, own_class, one.expected.bases)
    if not flags and not named and not one.strange:
        return
    own = one.expected.class_name.rpartition(".")[2]
    told = {row.name: [row.found[0], row.expected] for row in flags}
    rows = [f"`{row.name}` is {row.found[0]} in the file and {row.expected} here" for row in flags]
    rows += (
        [f"{some(one.strange)} in the file {'is' if len(one.strange) == 1 else 'are'} none of its settings"]
        if one.strange
        else []
    )
    what = f"{_writer(one)} wrote the state of `{one.name}`, and this is {own}"
    yield Finding(
        CODE,
        "warning",
        "; ".join((what, *rows[:1])),
        (one.name,),
        {
            "found_class": one.found.class_name,
            "class": one.expected.class_name,
            "flags": told,
            "strange": list(one.strange),
        },
        (),
        "what both keep for parameters has the same names; a flag in the groups would turn one class into the other",
        f"the state is loaded, and {own} stays what it is; build the class that was saved if that one is meant",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
