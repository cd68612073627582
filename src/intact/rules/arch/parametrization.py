"""The model keeps a tensor in parts that a freshly built one would not have.

## Cause

Weight norm, spectral norm, pruning and `register_parametrization` replace a weight by the parts it is computed from, and the
state dict has the parts (`weight_orig`, `parametrizations.weight.original0`). If that is done to a finished model and not in
its class, the one it is loaded into has the plain `weight` and knows neither name. Nothing is lost, and whoever loads must
know what to apply first. No class on the way mentions a parametrization, which is how it is told from one that belongs to the
architecture.

## Example

```python file="net.py"
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 2)
```

```python
from net import Net
from torch.nn.utils import prune

import intact

model = Net()
prune.l1_unstructured(model.body, "weight", amount=0.5)
report = intact.audit(model)
```

## Fix

```python
prune.remove(model.body, "weight")  # the zeros stay, and the weight is one tensor again
report = intact.audit(model)
```

## Look-alike

```python file="normed.py"
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = weight_norm(nn.Linear(4, 8))  # every object of the class has it
```

```python
from normed import Normed

model = Normed()
```

## Source

- https://github.com/ahendriksen/msd_pytorch/pull/3
- https://github.com/coqui-ai/TTS/issues/3177
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import some
from intact.losses import graded, loss

CODE = "arch/parametrization"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tensors kept in parts that no class on the way asks for."""
    for items in graded(facts, "parametrization"):
        paths = some(item.path for item in items)
        yield loss(
            CODE,
            items,
            f"{paths} {'is' if len(items) == 1 else 'are'} kept in parts, as `{items[0].keys[0]}`, "
            f"and a fresh `{items[0].owner_class}` has plain tensors in their place",
            "a parametrization, a norm or pruning was applied to a finished model",
            "make it permanent before saving (`parametrize.remove_parametrizations`, `prune.remove`), or apply it in the class",
        )


AUDIT = Rule(CODE, detect, "audit", page=__doc__ or "")
