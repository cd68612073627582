"""The same elements in another shape.

## Cause

A layer was rewritten in a form that keeps its weight in another shape: a 1x1 convolution became a Linear, `[out, in, 1, 1]`
against `[out, in]`. Dimensions of one element can come and go without moving anything. Where neighbouring dimensions were
joined (the patches of a vision transformer, `[768, 3, 16, 16]` against `[768, 768]`), the elements are the same in number,
and that they stand in the same order is likely and not proven; that waits for your word.

## Example

```python
import torch
from torch import nn

import intact

path, old, model = "conv.pth", nn.Conv1d(4, 8, 1), nn.Linear(4, 8)
torch.save(old.state_dict(), path)
report = intact.check(path, model)
```

## Fix

```python
original = {"weight": old.weight[:, :, 0], "bias": old.bias}
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "conv2.pth", nn.Conv1d(4, 8, 1)
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/huggingface/diffusers/issues/11077
- https://github.com/huggingface/diffusers/pull/3387
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example
from intact.repairs.reshape import Reshape

CODE = "arch/reshaped"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tensors that differ by dimensions of one element, then those whose neighbouring dimensions were joined."""
    for test, certain in ((_same_without_ones, True), (_joined, False)):
        mine = [d for d in facts.of_kind("shape") if test(d)]
        if mine:
            yield _finding(mine, certain=certain)


def _finding(mine: list[Difference], *, certain: bool) -> Finding:
    shapes = tuple((d.key, d.expected.shape) for d in mine if d.expected is not None)
    first = mine[0]
    assert first.found is not None
    assert first.expected is not None
    return Finding(
        CODE,
        "error",
        f"{count(len(mine), 'tensor')} {'has' if len(mine) == 1 else 'have'} another shape over the same elements: `{first.key}` "
        f"is {list(first.found.shape)} in the file and {list(first.expected.shape)} in the model",
        tuple(d.key for d in mine),
        {"shapes": {key: list(shape) for key, shape in shapes}, "grade": "forced" if certain else "likely"},
        tuple(example(d.found, d.expected) for d in mine[:3]),
        "the layer was rewritten in a form that keeps its weight in another shape",
        LOSS_FREE if certain else f'if the elements stand in the same order: allow=["{CODE}"] (command: --allow {CODE})',
        Reshape(shapes, lossless=certain),
        frozenset(d.mark for d in mine),
    )


def _same_without_ones(d: Difference) -> bool:
    if d.found is None or d.expected is None or d.found.layout != d.expected.layout:
        return False
    return _without_ones(d.found.shape) == _without_ones(d.expected.shape)


def _joined(d: Difference) -> bool:
    """Whether one shape comes of the other by joining neighbouring dimensions after the first."""
    if d.found is None or d.expected is None or d.found.layout != d.expected.layout or d.found.elements != d.expected.elements:
        return False
    short, long = sorted((d.found.shape, d.expected.shape), key=len)
    if len(short) < 2 or len(short) == len(long) or short[0] != long[0]:
        return False
    sizes = list(long)
    for size in short:
        product = 1
        while sizes and product < size:
            product *= sizes.pop(0)
        if product != size:
            return False
    return not [size for size in sizes if size != 1]


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


RULE = Rule(CODE, detect, page=__doc__ or "")
