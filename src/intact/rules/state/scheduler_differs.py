"""The scheduler is configured otherwise than in the checkpoint, or is of another class.

## Cause

The state of a scheduler holds its configuration as well as its progress, and loading replaces both. Training that is extended
from 20 to 200 epochs goes on with the old horizon: a cosine climbs again where it should fall.

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


saved = stepped(8, horizon=20)
path = "horizon.pt"
torch.save({name: part.state_dict() for name, part in saved.items()}, path)

model = stepped(0, horizon=200)
report = intact.check(path, model)
```

## Fix

```python
intact.load_into(model, path)
model["scheduler"].T_max = 200  # the new horizon, after loading
assert model["scheduler"].last_epoch == 8
```

## Look-alike

```python
# Progress differs in every run that is resumed
saved = stepped(8)
path = "progress.pt"
torch.save({name: part.state_dict() for name, part in saved.items()}, path)
model = stepped(0)
```

## Source

- https://github.com/pytorch/pytorch/issues/65342
- https://github.com/pytorch/pytorch/issues/60265
- https://github.com/mosaicml/composer/issues/1384
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.training import SchedulerFacts, related
from intact.core.wording import some
from intact.options import equal

CODE = "state/scheduler-differs"

_COMMON = frozenset({"base_lrs"})
"""What schedulers of every class have, beside their progress."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields schedulers of another class or with another configuration than the file has."""
    for one in facts.training.schedulers if facts.training else ():
        if one.found is None:
            continue
        if is_other_scheduler(one):
            yield _other_class(one)
            continue
        rows = [row for row in _rows(one.found, one.expected, one.changing) if row[1] != row[2]]
        if rows:
            yield _configured(one, rows)


def is_other_scheduler(one: SchedulerFacts) -> bool:
    """Whether another class wrote the state: by the name that is recorded, or by what is configured in it."""
    if one.found is None:
        return False
    if one.found_class:
        return not related(one.found_class, one.found_bases, one.expected_class, one.expected_bases)
    here, there = (set(state) - one.changing - _COMMON for state in (one.expected, one.found))
    return bool(here - there and there - here)


def _other_class(one: SchedulerFacts) -> Finding:
    assert one.found is not None
    writer = one.found_class.rpartition(".")[2] or "another class of scheduler"
    there = sorted(set(one.found) - set(one.expected))
    return Finding(
        CODE,
        "warning",
        f"the state of `{one.name}` is that of {writer}"
        + (f", with {some(there)}" if there else "")
        + f", and this is {one.expected_class.rpartition('.')[2]}",
        (one.name,),
        {
            "found_class": one.found_class,
            "class": one.expected_class,
            "found": sorted(one.found),
            "expected": sorted(one.expected),
        },
        (),
        "training was started with one schedule and resumed with another",
        "what both count (`last_epoch`) is loaded, and the schedule here goes on from there",
    )


def _rows(
    found: Mapping[str, Any], expected: Mapping[str, Any], changing: frozenset[str], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yields path, value in the file and value here of what is configured and differs."""
    for name, own in expected.items():
        if name in changing or name not in found or equal(found[name], own):
            continue
        there, inner = found[name], f"{path}{name}"
        if isinstance(own, dict) and isinstance(there, dict):
            yield from _rows(there, own, changing, f"{inner}.")
        elif (
            isinstance(own, list) and isinstance(there, list) and len(own) == len(there) and any(isinstance(o, dict) for o in own)
        ):
            for number, (a, b) in enumerate(zip(there, own, strict=True)):
                if isinstance(a, dict) and isinstance(b, dict):
                    yield from _rows(a, b, changing, f"{inner}[{number}].")
        else:
            yield inner, there, own
    both = isinstance(found, dict) and path and set(found) != set(expected)
    if both and all(not isinstance(value, dict | list) for value in (*found.values(), *expected.values())):
        yield path.rstrip("."), dict(found), dict(expected)


def _configured(one: SchedulerFacts, rows: list[tuple[str, Any, Any]]) -> Finding:
    path, there, own = rows[0]
    return Finding(
        CODE,
        "warning",
        f"`{one.name}` is configured otherwise than in the file: `{path}` is {there} there and {own} here",
        tuple(f"{one.name}.{row[0]}" for row in rows),
        {"settings": [{"name": row[0], "found": row[1], "expected": row[2]} for row in rows]},
        tuple(Example(f"{row[0]} = {row[1]}", f"{row[2]}") for row in rows[:3]),
        "the state of a scheduler holds its configuration too, and loading it brings the old horizon back",
        f"the configuration of the file is in force after loading; set the new one after it: scheduler.{path} = {own!r}",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
