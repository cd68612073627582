"""A counter of steps agrees with no optimizer and no scheduler of the same checkpoint.

## Cause

The counter was set back to the last full epoch, or not restored when the run was resumed before, while the optimizer went on
counting. The order of data, the schedule and the names of saves follow the counter, and drift with every restart.

## Example

```python
import torch
from torch import nn

import intact


def run(steps, global_step):
    net = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(steps):
        net(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "global_step": global_step}


def fresh():
    net = nn.Linear(4, 2)
    return {"model": net, "optimizer": torch.optim.Adam(net.parameters()), "global_step": 0}


path = "rewound.pt"
torch.save(run(35, global_step=30), path)

model = fresh()
report = intact.check(path, model)
```

## Fix

```python
intact.load_into(model, path)
model["global_step"] = 35  # what the optimizer has counted
```

## Look-alike

```python
# Gradients of four batches make one step: the counter of batches is four times that of steps
path = "accumulated.pt"
torch.save(run(35, global_step=140), path)
model = fresh()
```

## Source

- https://github.com/verl-project/verl/issues/7401
- https://github.com/tensorpack/tensorpack/issues/364
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "state/step-mismatch"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields counters that agree with no optimizer and no scheduler of the same file."""
    training = facts.training
    if training is None:
        return
    steps = {one.name: one.found.step for one in training.optimizers if one.found is not None}
    taken = {name: step for name, step in steps.items() if step}
    epochs = {one.name: epoch for one in training.schedulers if isinstance(epoch := (one.found or {}).get("last_epoch"), int)}
    witnesses = {**taken, **{name: epoch for name, epoch in epochs.items() if epoch > 1}}
    skips = any(one.kind == "scaler" for one in training.objects)
    for path, number in training.counters.items():
        if not witnesses or number < 0 or (number == 0 and not path.rpartition(".")[2].lower().startswith("global")):
            continue  # a step within an epoch is often at its beginning
        same = any(abs(number - epoch) <= 1 for epoch in epochs.values())
        of_one_run = [other for other in (taken or witnesses).values() if _agree(number, other, skips=skips)]
        if not same and not of_one_run:
            yield _finding(path, number, witnesses)


def _finding(path: str, number: int, witnesses: Mapping[str, int]) -> Finding:
    told = ", ".join(f"`{name}` is at {other:,}" for name, other in witnesses.items())
    return Finding(
        CODE,
        "warning",
        f"`{path}` is {number:,}, and {told}",
        (path,),
        {"counter": path, "value": number, "others": dict(witnesses)},
        (),
        "the counter was set back, or not restored in an earlier resume, while optimizer and scheduler went on",
        "decide which one is right before going on: data order, schedules and names of saves follow the counter",
    )


def _agree(counter: int, steps: int, *, skips: bool) -> bool:
    """Whether two counts can be of one run: equal but for the step at hand, or one a whole multiple of the other.

    A counter of batches is a multiple of the optimizer's steps where gradients are accumulated, the last few of them perhaps not
    yet used; the optimizer's steps are a multiple of a counter of rounds.

    Args:
        counter: Of the program.
        steps: Of an optimizer, or of a scheduler.
        skips: Whether a scaler may have skipped a few steps.
    """
    if abs(counter - steps) <= 1:
        return True
    if counter == 0:
        return False
    if max(counter, steps) % min(counter, steps) == 0:
        return True
    if skips and 0 < counter - steps <= max(10, counter // 20):
        return True
    return any(k >= 2 and steps in (counter // k, -(-counter // k)) for k in (counter // steps, counter // steps + 1))


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
