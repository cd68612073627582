"""The file is of another model.

## Cause

Hardly a key of the file is a key of the model with the same shape, even with wrappers and nesting taken away. Usually it is
the wrong file (the generator's instead of the discriminator's), the right file for another class, or a class in which every
name was changed since. A few names such as `conv1.weight` agree by accident, and a few shapes are alike; neither is a reason
to load anything.

## Example

```python
import torch
from torch import nn

import intact


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.norm = nn.Linear(16, 64), nn.BatchNorm1d(64)
        self.to_rgb = nn.ConvTranspose2d(64, 3, 4)


path, net = "generator.pth", Generator()
torch.save(net.state_dict(), path)
model = nn.Sequential(nn.Conv2d(3, 64, 4), nn.LeakyReLU(), nn.Conv2d(64, 1, 1))  # the discriminator
report = intact.check(path, model)
```

## Fix

```python
names = list(intact.inspect(path).found.tensors)  # what the file holds: project.weight, norm.weight, …
model = Generator()
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
# The same network for another task: one layer differs, and the file is still of this model.
path, model = "other-task.pth", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
torch.save(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict(), path)
```

## Source

- https://github.com/Markfryazino/wav2lip-hq/issues/8
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment.flats import is_flat
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example

CODE = "arch/class-differs"

LARGEST_SHARE = 0.1
"""Share of the smaller side's keys that may agree in key and shape by accident (`conv1.weight`, `fc.bias`)."""

SAME_NAMES = 0.5
"""Share of the larger side's keys from which on the names are the model's own, and sizes are what differs."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields where hardly a key agrees, whatever the names were stripped of before."""
    found, expected = facts.found.tensors, facts.expected.tensors
    if not found or not expected:
        return
    agree = [k for k, wanted in expected.items() if k in found and (found[k].shape == wanted.shape or wanted.lazy)]
    if len(agree) > LARGEST_SHARE * min(len(found), len(expected)):
        return
    named = [k for k, wanted in expected.items() if k in found and len(found[k].shape) == len(wanted.shape)]
    if len(named) > SAME_NAMES * max(len(found), len(expected)):
        return
    unexpected, missing = facts.of_kind("unexpected"), facts.of_kind("missing")
    if any(d.found is not None and is_flat(d.found) for d in unexpected):
        return  # no key of any model is in such a file
    if not missing and not facts.of_kind("shape"):
        return
    yield Finding(
        CODE,
        "error",
        f"the file is of another model: {len(agree):,} of {count(len(expected), 'key')} agree in name and shape",
        tuple(d.key for d in facts.differences),
        {"agree": agree, "found_tensors": len(found), "expected_tensors": len(expected), "found_classes": _classes(facts)},
        (
            *(example(d.found, None) for d in unexpected[:2]),
            *(example(None, d.expected) for d in missing[:2]),
        ),
        "it is the wrong file, the wrong class, or a class whose names were all changed",
        "check which model this file was saved from: `intact inspect` lists what is in it",
        None,
        frozenset(d.mark for d in facts.differences),
    )


def _classes(facts: Facts) -> list[str]:
    return sorted({module.class_name for module in facts.original.modules.values()})[:20]


RULE = Rule(CODE, detect, page=__doc__ or "")
