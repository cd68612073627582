"""The groups of the optimizer are other ones than in the checkpoint, or have other settings.

## Cause

The code that builds the groups changed: one group for each parameter has become two, with and without decay. Torch refuses ("a
different number of parameter groups"), and the usual advice is to throw the state away. Or the groups are the same and their
settings are new: loading brings the old ones back, and the weight decay that the configuration names is not in force.

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
saved = trained(net, torch.optim.Adam([{"params": [p]} for p in net.parameters()]))
path = "four-groups.pt"
torch.save({name: part.state_dict() for name, part in saved.items()}, path)

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
report = intact.check(path, model)
```

## Fix

```python
intact.load_into(model, path)  # state and settings by parameter
there = saved["optimizer"].state_dict()["state"]
here = model["optimizer"].state_dict()["state"]
assert all(torch.equal(here[place]["exp_avg"], there[place]["exp_avg"]) for place in range(4))
```

## Look-alike

```python
# A schedule moved the learning rate, and the momentum with it: that is what a checkpoint is for
net = nn.Linear(4, 2)
optimizer = torch.optim.Adam(net.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
trained(net, optimizer, 1)
for _ in range(6):
    schedule.step()
path = "cycle.pt"
torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, path)
net = nn.Linear(4, 2)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
model["schedule"] = torch.optim.lr_scheduler.OneCycleLR(model["optimizer"], 0.1, total_steps=20)
```

## Source

- https://github.com/facebookresearch/detectron2/issues/898
- https://github.com/pytorch/pytorch/issues/156846
- https://github.com/Lightning-AI/pytorch-lightning/issues/6891
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.training import CLASS_FLAGS, OptimizerFacts
from intact.core.wording import by_permission, count, some
from intact.options import OptionRow, is_other_class, option_rows
from intact.repairs.by_name import ByName

CODE = "state/optimizer-groups"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers whose groups are other ones than in the file, or have other settings."""
    for one in facts.training.optimizers if facts.training else ():
        if one.found is None or is_other_class(one):
            continue
        if not one.same_sizes:
            yield _regrouped(one)
        rows = [row for row in option_rows(one) if row.name not in CLASS_FLAGS]
        if rows:
            yield _settings(one, rows)


def _regrouped(one: OptimizerFacts) -> Finding:
    assert one.found is not None
    there, here = len(one.found.parameters), len(one.expected.parameters)
    headline = (
        f"the file has {count(there, 'parameter')} of `{one.name}` in {count(len(one.found.groups), 'group')}, "
        f"and here {'they are' if there == here else f'{here:,} are'} in {count(len(one.expected.groups), 'group')}"
    )
    sizes = [" and ".join(str(len(group.places)) for group in side.groups) for side in (one.found, one.expected)]
    if len(one.found.groups) == len(one.expected.groups) > 1 and len(one.found.groups) < 5:
        headline += f" (of {sizes[0]} there, of {sizes[1]} here)"
    known = one.pairing.known_by != "unknown"
    lost = one.lost if known else ()
    names = tuple(one.shown(place) for place in one.pairing.places)
    keys = tuple(one.key(place) for place in range(here))
    new = [one.shown(place) for place in range(here) if place not in one.pairing.places]
    evidence = {
        "found_sizes": [len(group.places) for group in one.found.groups],
        "sizes": [len(group.places) for group in one.expected.groups],
        "known_by": one.pairing.known_by,
        "not_taken": list(lost),
        "new": new if known else [],
    }
    cause = "the optimizer was built with other groups of parameters, which torch refuses"
    if not known:
        return Finding(
            CODE, "error", headline + "; which parameter is which cannot be told", keys, evidence, (), cause,
            "build the groups of the run that was saved, or leave the optimizer out; `intact.save` keeps the names of parameters",
        )  # fmt: skip
    if lost:
        return Finding(
            CODE, "error", f"{headline}; nobody takes the state of {some(lost)}", keys, evidence, (), cause,
            by_permission(CODE, f"the state of {count(len(lost), 'parameter')} is left in the file"),
            ByName(one.name, one.moves, names, lost),
        )  # fmt: skip
    more = f"; {some(new)} start afresh" if new else ""
    return Finding(
        CODE, "error", headline + more, keys, evidence, (), cause,
        "loss-free repair: `intact.load_into` gives each parameter the state and the settings that were kept for it",
        ByName(one.name, one.moves, names),
    )  # fmt: skip


def _settings(one: OptimizerFacts, rows: list[OptionRow]) -> Finding:
    names = list(dict.fromkeys(row.name for row in rows))
    first = rows[0]
    kept = [row for row in rows if row.kept == "own"]
    return Finding(
        CODE,
        "warning",
        f"`{one.name}` is configured with other settings than the file has: {some(names)}; in group {first.group} "
        f"`{first.name}` is {_text(first)} in the file and {first.expected} here",
        tuple(f"{one.name}.param_groups[{row.group}].{row.name}" for row in rows),
        {
            "settings": [
                {"group": r.group, "name": r.name, "found": list(r.found), "expected": r.expected, "kept": r.kept} for r in rows
            ]
        },
        tuple(Example(f"param_groups[{r.group}].{r.name} = {_text(r)}", f"{r.expected}") for r in rows[:3]),
        "loading an optimizer replaces the settings of its groups by those of the file",
        "those of the file are in force after loading; set the new ones after it: "
        f"optimizer.param_groups[{first.group}][{first.name!r}] = {first.expected!r}"
        if not kept
        else "where one group here had several in the file, the settings here stay",
    )


def _text(row: OptionRow) -> str:
    return " and ".join(str(value) for value in row.found)


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
