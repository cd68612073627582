"""Positions are built for another length.

## Cause

The table of positions has one row for each place: tokens of a sequence, patches of an image. The model was built for another
sequence length or image size than the one that was saved, so the table, and masks or position ids of the same length with it,
has another number of rows. In a sequence the first rows mean the same on both sides and can be copied. In a grid of patches
they do not; every project interpolates those in its own way, and a table of which only the beginning fits would be wrong
without a word.

## Example

```python
import torch
from torch import nn

import intact


class Writer(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(50, 8), nn.Embedding(length, 8)


net, path = Writer(length=32), "length-32.pth"
torch.save(net.state_dict(), path)
model = Writer(length=20)
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path, allow=["arch/resized-position"])  # the places that both have are copied
assert torch.equal(model.wpe.weight, net.wpe.weight[:20])
original = {"wte.weight": net.wte.weight}
# or build the model for the length of the file, Writer(length=32), and nothing has to be allowed
```

## Look-alike

```python
class Contrast(nn.Module):
    # `positive` begins with `pos` and has nothing to do with positions: this is a head of another size
    def __init__(self, outputs):
        super().__init__()
        self.body, self.positive = nn.Linear(4, 8), nn.Linear(8, outputs)


path, model = "contrast.pth", Contrast(2)
torch.save(Contrast(5).state_dict(), path)
```

## Source

- https://github.com/huggingface/transformers/issues/12167
- https://github.com/huggingface/pytorch-image-models/issues/1794
- https://github.com/OpenGVLab/UniFormerV2/issues/12
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import classify, copy_common, keep_fresh, resized_finding

CODE = "arch/resized-position"
WHAT = "positions are built for another length"
CAUSE = "the model is built for another sequence length or image size"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tables of positions in a row, whose common part means the same, and grids or masks, whose does not."""
    kinds = classify(facts)
    mine = [d for d in facts.of_kind("shape") if kinds[d.key] == CODE]
    rows = [d for d in mine if _is_row_table(d)]
    rest = [d for d in mine if not _is_row_table(d)]
    if rows:
        loss = "the positions that both have are copied; further ones stay fresh or are dropped"
        yield resized_finding(CODE, rows, what=WHAT, cause=CAUSE, loss=loss, step=copy_common(rows))
    if rest:
        loss = "these tensors keep the model's own values; a grid of positions is usually interpolated instead"
        yield resized_finding(CODE, rest, what=WHAT, cause=CAUSE, loss=loss, step=keep_fresh(rest))


def _is_row_table(difference: Difference) -> bool:
    wanted = difference.expected
    return wanted is not None and wanted.role == "parameter" and len(wanted.shape) == 2


RULE = Rule(CODE, detect, page=__doc__ or "")
