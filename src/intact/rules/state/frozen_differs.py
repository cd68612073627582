"""Parameters that learned are frozen now, or the other way round.

## Cause

Whether a parameter learns (`requires_grad`) is in no state dict. The script of the second run forgets to freeze the backbone, or
freezes what had been trained; the first changes weights that were meant to stay, the second stops their training without a word.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
net[0].requires_grad_(False)
path = "run/frozen-backbone"
intact.save({"model": net}, path)

model = {"model": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))}
report = intact.check(path, model)
```

## Fix

```python
model["model"][0].requires_grad_(False)  # as it was
assert intact.load_into(model, path).verdict == "intact"
```

## Look-alike

```python
# Frozen there and here, with all parameters in the optimizer: the frozen ones have no state, and need none
net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
net[0].requires_grad_(False)
optimizer = torch.optim.Adam(net.parameters())
net(torch.ones(1, 4)).sum().backward()
optimizer.step()
path = "frozen-in-both.pt"
torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, path)
model = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
```

## Source

- https://github.com/OpenNMT/OpenNMT-py/issues/38
- https://github.com/pytorch/pytorch/pull/192307
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.training import Frozen
from intact.core.wording import count, some

CODE = "state/frozen-differs"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields parameters that learned and are frozen now, or the other way round."""
    training = facts.training
    if training is None:
        return
    for learned in (True, False):
        rows = [row for row in training.frozen if row.learned is learned]
        if learned is False and not _convincing(rows, training.elements):
            continue
        if rows:
            yield _finding(rows, learned)


def _convincing(rows: list[Frozen], elements: int) -> bool:
    """Whether parameters without state were frozen: the file says so, or they are most of the model.

    A parameter that no step ever reached has no state either.
    """
    return any(row.recorded for row in rows) or 2 * sum(row.elements for row in rows) >= max(elements, 1)


def _finding(rows: list[Frozen], learned: bool) -> Finding:
    names = [row.name for row in rows]
    sure = rows[0].recorded
    then = "learned" if learned else "were frozen" if sure else "had learned nothing"
    now = "frozen here" if learned else "learning here"
    verb = "is" if len(names) == 1 else "are"
    by = "the checkpoint records it" if sure else f"the optimizer kept {'state' if learned else 'no state'} for them"
    return Finding(
        CODE,
        "warning",
        f"{count(len(names), 'parameter')}, as `{names[0]}`, {then} when the checkpoint was saved, and {verb} {now}",
        tuple(names),
        {"parameters": names, "learned": learned, "known_by": by},
        (),
        f"`requires_grad` is not part of a state dict, so that the script decides it anew; {by}",
        f"set `requires_grad` of {some(names)} as it was, if the run is to go on as before",
    )


RULE = Rule(CODE, detect, "resume", page=__doc__ or "", needs_model=False)
