"""The file has tensors that the model has no place for.

## Cause

The file was saved from a model with more modules than this one: an auxiliary head that only training needs, an option of the
constructor that was on and is off now, a metric or a loss that kept its tensors in the module. With `strict=False` they are
dropped without a word, which is right for an auxiliary head and wrong for a branch that was forgotten when the model was
built.

## Example

```python
import torch
from torch import nn

import intact


class Segmenter(nn.Module):
    def __init__(self, auxiliary=False):
        super().__init__()
        self.backbone, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        if auxiliary:
            self.aux_head = nn.Linear(8, 5)


net, path = Segmenter(auxiliary=True), "training.pth"
torch.save(net.state_dict(), path)
model = Segmenter()
report = intact.check(path, model)
```

## Fix

```python
# The auxiliary head is not needed here; if it is, build Segmenter(auxiliary=True) instead.
report = intact.load_into(model, path, allow=["arch/unexpected-key"])
original = {key: value for key, value in net.state_dict().items() if not key.startswith("aux_head.")}
```

## Look-alike

```python
# Numbers and texts beside the tensors are not the model's, and nobody misses them.
path, model = "with-notes.pth", Segmenter()
torch.save({**Segmenter().state_dict(), "epoch": 12, "note": "before the learning rate was lowered"}, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/123510
- https://github.com/yassouali/CCT/issues/66
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, count, example, some
from intact.repairs.drop import Drop

CODE = "arch/unexpected-key"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields every unexpected key, for want of a better explanation."""
    mine = facts.of_kind("unexpected")
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    yield Finding(
        CODE,
        "error",
        f"{count(len(keys), 'key')} of the file {'is' if len(keys) == 1 else 'are'} not in the model: {some(keys)}",
        keys,
        {"of": len(facts.found.tensors)},
        tuple(example(d.found, None) for d in mine[:3]),
        "the file was saved from a model with modules that this one does not have",
        by_permission(CODE, f"{count(len(keys), 'tensor')} of the file {'is' if len(keys) == 1 else 'are'} not used"),
        Drop(keys),
        frozenset(d.mark for d in mine),
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
