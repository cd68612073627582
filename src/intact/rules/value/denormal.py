"""Weights are smaller than the normal numbers of their dtype: a processor works on them ten to a hundred times slower.

## Cause

Below 1.2e-38 float32 and bfloat16 have only denormal numbers, with ever fewer digits. Weight decay drives weights there that no
gradient holds (dead channels, layers that are not used), and a GPU that flushes them to zero never shows it. On a CPU each
multiplication with one takes a detour, and the same network is slower the longer it was trained. Numbers of that size in a whole
tensor can also be bytes of another byte order or dtype. The values load exactly; that they are worth keeping is unlikely.

## Example

```python
import torch
from torch import nn

path, model = "epoch_300.pth", nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
state = model.state_dict()
state["2.weight"][4:] *= 1e-38  # channels that weight decay alone has moved
torch.save(state, path)
```

## Fix

```python
smallest = torch.finfo(torch.float32).smallest_normal
flushed = {key: torch.where(value.abs() < smallest, 0, value) for key, value in state.items()}
torch.save(flushed, path)  # or torch.set_flush_denormal(True) in the program that runs it
```

## Look-alike

```python
path, model = "pruned.pth", nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
state = model.state_dict()
state["2.weight"][4:] = 0  # zeros cost nothing
torch.save(state, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/19651
- https://github.com/lukemelas/EfficientNet-PyTorch/issues/39
- https://github.com/pytorch/pytorch/issues/10140
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.statistics import Statistics
from intact.core.tensor import TensorInfo
from intact.core.wording import count, some

CODE = "value/denormal"
FEWEST_ELEMENTS = 64
LEAST_SHARE = {1: 0.05, 2: 0.01}
"""Share of a vector, and of a matrix or kernel, from which on they are felt: a convolution with 1 % takes 25 times as long."""

_WIDE = frozenset({"float32", "bfloat16", "float64"})
"""Dtypes with so large a range that weights need none of their denormals; those of float16 are everyday numbers."""

_SLOT = re.compile(r"(?:^|[.\[])state[.\[][^.]+$|optim")
"""Places where an optimizer keeps its moments, whose squares are small by nature."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the weights of which a share is denormal."""
    mine = {key: row for key, row in facts.values().items() if _is_slow(row, facts.original.tensors.get(key))}
    if not mine:
        return
    total = sum(row.denormal for row in mine.values())
    values = sum(row.elements for row in mine.values())
    be = "is" if total == 1 else "are"
    yield Finding(
        CODE,
        "warning",
        f"{count(total, 'value')} of {values:,} in {count(len(mine), 'tensor')} {be} denormal, smaller than any normal number "
        f"of the dtype: {some(list(mine))}",
        tuple(mine),
        {"denormal": {key: row.denormal for key, row in mine.items()}},
        cause="weight decay shrank weights that no gradient holds, or the bytes are of another dtype or byte order",
        help="a CPU works on them many times slower: torch.set_flush_denormal(True), or set them to zero and save",
    )


def _is_slow(row: Statistics, tensor: TensorInfo | None) -> bool:
    """Whether it is a weight of which a share is denormal."""
    if tensor is None or not row.denormal or row.elements < FEWEST_ELEMENTS:
        return False
    enough = row.denormal >= LEAST_SHARE[min(len(tensor.shape), 2)] * row.elements
    return enough and tensor.dtype in _WIDE and not _SLOT.search(tensor.nest)


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
