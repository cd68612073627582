"""The behaviour of the model could not be recorded, or what was recorded could not be replayed.

## Cause

`intact.save(model, path, example_inputs=…)` runs the model twice and keeps what it did; `intact.check` and `intact.load` run it
again. Where the inputs have no form in a file or are too large, or the model raises, there is no record and the save goes on
without. Where the weights do not load without loss, there is nothing to replay: other outputs would be no news. Either is
information only.

## Example

```python
import torch
from torch import nn

import intact


class Net(nn.Linear):
    def forward(self, x):
        return super().forward(x)


net, path = Net(8, 2).eval(), "net.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),))
model = Net(8, 3).eval()  # the head has another size
report = intact.check(path, model)
```

Also: arch/resized-head, arch/shape-mismatch, arch/hyperparameter-differs

## Fix

```python
model = Net(8, 2).eval()
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "without.safetensors", Net(8, 2).eval()
intact.save(model, path)  # nothing was to be recorded
```

## Source

- https://pytorch.org/docs/stable/onnx.html (the same form of example inputs)
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule

CODE = "behaviour/not-probed"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields why there is no record or no replay, where one was asked for."""
    behaviour = facts.behaviour
    if behaviour is None or not behaviour.why_not:
        return
    what = "was not recorded" if behaviour.saving else "was recorded and not replayed"
    yield Finding(
        CODE,
        "info",
        f"the behaviour of the model {what}: {behaviour.why_not}",
        (),
        {"reason": behaviour.why_not},
        cause="the tensors are saved all the same" if behaviour.saving else "nothing is said of what the model does",
        help="give inputs of tensors, numbers, texts, lists and mappings that the model runs on" if behaviour.saving else "",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
