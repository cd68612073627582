"""The checkpoint holds no state for an optimizer, or an empty one although training had gone on.

## Cause

Only the networks were saved, or the optimizer was built anew before it was. Loading goes well, and the run goes on with empty
moments: Adam's first steps then have the size of the learning rate in every direction, which can undo hours of training.

## Example

```python
import torch
from torch import nn

import intact

model = nn.Linear(4, 2)
path = "only-weights.pt"
torch.save({"model": model.state_dict()}, path)

model = {"model": nn.Linear(4, 2)}
model["optimizer"] = torch.optim.Adam(model["model"].parameters())
report = intact.check(path, model)
```

## Fix

```python
net = nn.Linear(4, 2)
optimizer = torch.optim.Adam(net.parameters())
net(torch.ones(1, 4)).sum().backward()
optimizer.step()
intact.save({"model": net, "optimizer": optimizer}, "run/step-1")
intact.load_into(model, "run/step-1")  # the model, and the state of each of its parameters
assert model["optimizer"].state_dict()["state"][0]["step"] == 1
```

## Look-alike

```python
# Saved before the first step: there is no state yet, and nothing says that there should be
net = nn.Linear(4, 2)
path = "before-the-first-step.pt"
torch.save({"model": net.state_dict(), "optimizer": torch.optim.Adam(net.parameters()).state_dict()}, path)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
```

## Source

- https://github.com/NVlabs/stylegan2-ada-pytorch/issues/108
- https://github.com/CSAILVision/places365/issues/78
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.training import OptimizerFacts, TrainingFacts
from intact.core.wording import count, some

CODE = "state/optimizer-missing"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields optimizers for which the file has nothing, or nothing although training had gone on."""
    training = facts.training
    if training is None:
        return
    gone = [one for one in training.optimizers if one.found is None]
    if gone:
        names = [one.name for one in gone]
        yield Finding(
            CODE,
            "warning",
            f"the checkpoint holds no state for {some(names)}: {_of(gone)} would start afresh",
            tuple(names),
            {"optimizers": names, "others": list(training.others)},
            (),
            "only the models were saved, or the optimizer under a name that tells nothing",
            "the first steps will be unlike those of the run that was saved; save the optimizer too: "
            'intact.save({"model": model, "optimizer": optimizer}, FOLDER)',
        )
    for one in training.optimizers:
        if (sign := _emptied(one, training)) is not None:
            yield Finding(
                CODE,
                "warning",
                f"the state of `{one.name}` is empty, and {sign}: its {count(len(one.expected.parameters), 'parameter')} "
                "start afresh",
                tuple(one.key(place) for place in range(len(one.expected.parameters))),
                {"sign": sign},
                (),
                "the optimizer was built anew, or its state cleared, before the checkpoint was saved",
                "take the state from an earlier checkpoint of the run if there is one",
            )


def _of(gone: list[OptimizerFacts]) -> str:
    return count(sum(len(one.expected.parameters) for one in gone), "parameter")


def _emptied(one: OptimizerFacts, training: TrainingFacts) -> str | None:
    """What says that an optimizer with empty state had taken steps; None where nothing does, or its class may keep none."""
    found = one.found
    if found is None or any(parameter.state for parameter in found.parameters) or not found.groups:
        return None
    keeps = any("betas" in group.options or group.options.get("momentum") for group in found.groups)
    if not keeps:
        return None
    for path, number in training.counters.items():
        if number > 0:
            return f"`{path}` is {number:,}"
    for scheduler in training.schedulers:
        if isinstance(epoch := (scheduler.found or {}).get("last_epoch"), int) and epoch > 0:
            return f"`{scheduler.name}` is at {epoch:,}"
    return None


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
