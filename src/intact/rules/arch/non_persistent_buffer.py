"""The file holds a buffer that the model computes for itself and does not load.

## Cause

The buffer was registered plainly in the version of the class that saved the file, and with `persistent=False` in the version
that loads it. Position ids, attention masks and rotary tables went this way in many libraries, and each time old checkpoints
met "Unexpected key(s) in state_dict". If the model has computed the same values, dropping the file's loses nothing; if it has
others, a hyperparameter behind them changed (another length, another rotary base), and that deserves a look.

Before a save an audit names buffers that are not persistent and that no new object would have: drawn at random by the
constructor, or updated from the data and used.

## Example

```python
import torch
from torch import nn

import intact


class Embedder(nn.Module):
    def __init__(self, persistent):
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.register_buffer("position_ids", torch.arange(16), persistent=persistent)


net, path = Embedder(persistent=True), "older-library.pth"
torch.save(net.state_dict(), path)
model = Embedder(persistent=False)
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)  # the values are the same, so nothing has to be allowed
original = {"words.weight": net.words.weight}
```

## Look-alike

```python
path, model = "same-library.pth", Embedder(persistent=True)  # persistent on both sides: a key like any other
torch.save(Embedder(persistent=True).state_dict(), path)
```

## Source

- https://github.com/gitabtion/BertBasedCorrectionModels/issues/51
- https://github.com/facebookresearch/DPR/issues/165
- https://github.com/huggingface/transformers/issues/6882
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, by_permission, count, example, some
from intact.losses import graded, loss, sizes
from intact.repairs.drop import Drop

CODE = "arch/non-persistent-buffer"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields buffers that the model has as non-persistent: those with the file's values, and those with others."""
    absent = facts.expected.absent
    keys = [d.key for d in facts.of_kind("unexpected") if d.key in absent]
    equal = [k for k in keys if facts.same_values(facts.found.tensors[k].source, absent[k].dtype, k)]
    other = [k for k in keys if k not in equal]
    if equal:
        yield _finding(facts, equal, True)
    if other:
        yield _finding(facts, other, False)


def _finding(facts: Facts, keys: list[str], equal: bool) -> Finding:
    is_are = "is" if len(keys) == 1 else "are"
    values = "the same values" if equal else "other values"
    return Finding(
        CODE,
        "error",
        f"{count(len(keys), 'buffer')} of the file, as `{keys[0]}`, {is_are} not persistent in the model, which has {values}",
        tuple(keys),
        {"same_values": equal},
        tuple(example(facts.found.tensors[key], facts.expected.absent[key]) for key in keys[:3]),
        "the buffer was persistent in the version that saved the file, and no longer is",
        LOSS_FREE if equal else by_permission(CODE, "the file's values are not used"),
        Drop(tuple(keys), lossless=equal),
        frozenset(("unexpected", key) for key in keys),
    )


def survive(facts: Facts) -> Iterator[Finding]:
    """Yields buffers of a live model that are not saved and would not come back."""
    for items in graded(facts, "buffer"):
        be = "is" if len(items) == 1 else "are"
        yield loss(
            CODE,
            items,
            f"{count(len(items), 'buffer')} of `{items[0].owner_class}`, as `{items[0].path}`, {be} not persistent and would not "
            f"be saved, and a new object has other values: {sizes(items)}",
            f"of `{items[0].path}`: {items[0].evidence}",
            f'let it be saved: `self.register_buffer("{items[0].name}", …)` without `persistent=False`',
        )


def came_out_otherwise(facts: Facts) -> Iterator[Finding]:
    """Yields buffers that the model computed with other values than when it was sealed; information where that shows nowhere."""
    behaviour = facts.behaviour
    if behaviour is None or not behaviour.buffers:
        return
    keys = behaviour.buffers
    shown = (
        "outputs are those of the save all the same" if behaviour.same else "it is not in the file, so the model computed it anew"
    )
    yield Finding(
        CODE,
        "info" if behaviour.same else "warning",
        f"{count(len(keys), 'buffer')} outside of the state dict came out otherwise than when the model was saved: {some(keys)}",
        tuple(keys),
        {"replayed": behaviour.replay is not None},
        cause=f"{shown}: drawn at random, or from another hyperparameter",
        help="" if behaviour.same else "make it persistent, or compute it from the constructor's arguments alone",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
AUDIT = Rule(CODE, survive, "audit", page=__doc__ or "")
REPLAY = Rule(CODE, came_out_otherwise, "replay", page=__doc__ or "")
