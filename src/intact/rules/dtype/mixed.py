"""Some layers are of another dtype than their neighbours.

## Cause

A merge, an export or an adapter wrote the layers that it touched in one dtype and left the others in another. Values load
exactly where the model's dtype holds both. With `assign=True`, or in code that takes the dtype of the file, the first product
of the two fails, and the layers in the smaller dtype have fewer digits than the rest.

## Example

```python
import torch
from torch import nn

path, model = "merged.pth", nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])
source = nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])
source[2].half()
torch.save(source.state_dict(), path)
```

## Fix

```python
source.float()
torch.save(source.state_dict(), path)
```

## Look-alike

```python
path = "norms.pth"  # the same kinds of tensors are wider in every layer: meant so
model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(4)])
source = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4).half(), nn.LayerNorm(4)) for _ in range(4)])
torch.save(source.state_dict(), path)
```

## Source

- https://github.com/NVIDIA-NeMo/Speech/issues/13455
- https://github.com/mlfoundations/open_clip/issues/916
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some
from intact.families import by_pattern

CODE = "dtype/mixed"
FEWEST = 3
"""Layers of a kind below which neither dtype is the usual one."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields floating tensors of numbered layers whose dtype is not that of most of their kind."""
    tensors = {key: t for key, t in facts.original.tensors.items() if (d := dtype_named(t.dtype)) and d.kind == "float"}
    if len({tensor.dtype for tensor in tensors.values()}) < 2:
        return
    mine: dict[str, str] = {}
    usual = ""
    for keys in by_pattern(tensors).values():
        counted = Counter(tensors[key].dtype for key in keys)
        (most, number), *others = counted.most_common(2)
        if len(keys) >= FEWEST and others and number * 3 >= len(keys) * 2:
            usual = most
            mine.update((key, tensors[key].dtype) for key in keys if tensors[key].dtype != most)
    if mine:
        dtypes = sorted(set(mine.values()))
        be = "is" if len(mine) == 1 else "are"
        yield Finding(
            CODE,
            "warning",
            f"{count(len(mine), 'tensor')} {be} {' or '.join(dtypes)} where most of their kind are {usual}: {some(list(mine))}",
            tuple(mine),
            {"dtypes": dict(Counter(mine.values())), "usual": usual},
            cause="these layers were merged, tuned or exported by another program than the rest",
            help="values load exactly where the model's dtype holds both; cast the file to one dtype before using assign=True",
        )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
