"""The model is in training mode, was saved in eval mode, and gives other outputs for it.

## Cause

A module that was just built is in training mode, and `load_state_dict` does not carry the mode. Where dropout layers or norms are
behind it, `behaviour/dropout-active` and `behaviour/batchnorm-training` name them; this is for modules that look at
`self.training` themselves.

## Example

```python
import torch
from torch import nn

import intact


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        scores = self.head(x)
        return scores if self.training else scores.softmax(-1)


net, path = Detector().eval(), "detector.safetensors"
intact.save(net, path, example_inputs=(torch.randn(4, 8),))
model = Detector()
report = intact.check(path, model)
```

## Fix

```python
model.eval()
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path, model = "linear.safetensors", nn.Linear(8, 2)  # in training mode too, where it does the same
intact.save(nn.Linear(8, 2).eval(), path, example_inputs=(torch.randn(4, 8),))
```

## Source

- https://github.com/facebookresearch/detr/issues/498
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import place

CODE = "state/training-mode"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where the mode makes a difference that no dropout and no norm accounts for."""
    mode = facts.behaviour.mode if facts.behaviour is not None else None
    if mode is None or mode.dropouts or mode.norms:
        return
    path, name = mode.others[0] if mode.others else ("", "")
    shown = f"raises {mode.raised}" if mode.raised else f"gives outputs {mode.relative:.1e} of their norm from those in eval mode"
    yield Finding(
        CODE,
        "warning",
        f"the model is in training mode and was saved in eval mode, and {shown}",
        (),
        {"module": path, "class": name, "relative": mode.relative, "raised": mode.raised},
        cause=f"{place(path)}{f' ({name})' if name else ''} does something else in that mode, which a state dict does not carry",
        help="call model.eval() before you use it; to go on training it is as it should be",
    )


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
