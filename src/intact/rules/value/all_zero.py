"""A weight is all zero, and its like in the other layers are not.

## Cause

Weights that begin at zero on purpose (a gate, the second half of an adapter, a bias) do so in every layer. Where one layer of
many has a matrix of nothing but zeros while the same matrix of the others is dense, it was lost: a shard that was never
written, a tensor that was gathered on the wrong rank, a mask that removed everything. A layer of zeros gives zeros, or passes
its input through, and nothing is said.

## Example

```python
import torch
from torch import nn

path, model = "lost.pth", nn.Sequential(*[nn.Linear(16, 16) for _ in range(6)])
state = model.state_dict()
state["3.weight"].zero_()
torch.save(state, path)
```

## Fix

```python
good = nn.Sequential(*[nn.Linear(16, 16) for _ in range(6)])
torch.save(good.state_dict(), path)  # from where it is whole
```

## Look-alike

```python
path, model = "gated.pth", nn.Sequential(*[nn.Linear(16, 16) for _ in range(6)])
state = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}  # all of a kind begin at zero
torch.save(state, path)
```

## Source

- https://github.com/microsoft/BitNet/issues/608
- https://github.com/paiml/aprender/pull/2337
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.statistics import Statistics
from intact.core.wording import count, some
from intact.families import by_pattern

CODE = "value/all-zero"
FEWEST_ELEMENTS = 64
FEWEST_OTHERS = 2


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields matrices of zeros among numbered ones that are not."""
    values = facts.values()
    mine: list[str] = []
    for keys in by_pattern(key for key, tensor in facts.original.tensors.items() if len(tensor.shape) > 1).values():
        rows = {key: values[key] for key in keys if key in values and values[key].elements >= FEWEST_ELEMENTS}
        zero = [key for key, row in rows.items() if _is_zero(row)]
        if zero and len(rows) - len(zero) >= max(FEWEST_OTHERS, 2 * len(zero)):
            mine += zero
    if mine:
        be = "is" if len(mine) == 1 else "are"
        yield Finding(
            CODE,
            "warning",
            f"{count(len(mine), 'weight')} {be} all zero, and the same weights of other layers are not: {some(mine)}",
            tuple(mine),
            {"tensors": mine[:100]},
            cause="the tensor was never written, was gathered from the wrong place, or was pruned as a whole",
            help="compare it with the original file; if the layer was pruned on purpose, nothing is wrong",
        )


def _is_zero(row: Statistics) -> bool:
    return row.zeros == row.elements


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
