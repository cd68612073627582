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

import re
from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.losses import graded, loss
from intact.repairs.mask import Mask
from intact.repairs.rename import Rename

CODE = "arch/parametrization"

_SPELLINGS: tuple[tuple[str, str], ...] = (
    ("parametrizations.{name}.original0", "{name}_g"),
    ("parametrizations.{name}.original1", "{name}_v"),
    ("parametrizations.{name}.original", "{name}_orig"),
    ("parametrizations.{name}.0._u", "{name}_u"),
    ("parametrizations.{name}.0._v", "{name}_v"),
)
"""How `torch.nn.utils.parametrizations` and the older `torch.nn.utils.weight_norm` and `spectral_norm` name the same tensors."""

_SAID = re.compile("^(?:parametrizations|.+_(?:g|u|v|orig|mask))$")

_PARTS = re.compile(r"(?:(?P<owner>.+)\.)?parametrizations\.(?P<name>[^.]+)\.(?P<part>original[01]?|0\._[uv])")


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the parts of parametrized tensors that one side names in the new and the other in the old way, and pruned ones."""
    if not facts.says(_SAID):
        return
    yield from _pruned(facts)
    missing = {d.key: d.expected for d in facts.of_kind("missing") if d.expected is not None}
    extra = {d.key: d.found for d in facts.of_kind("unexpected") if d.found is not None}
    pairs = [
        (there, here)
        for new, here_new in ((extra, missing), (missing, extra))
        for key in new
        for old in _older(key)
        if old in here_new
        for there, here in [(key, old) if new is extra else (old, key)]
        if extra[there].shape == missing[here].shape
    ]
    if not pairs or len({here for _, here in pairs}) != len(pairs) or len({there for there, _ in pairs}) != len(pairs):
        return
    first = pairs[0]
    yield Finding(
        CODE,
        "error",
        f"{count(len(pairs), 'part')} of parametrized tensors {'has' if len(pairs) == 1 else 'have'} another spelling: "
        f"`{first[0]}` is `{first[1]}` in the model",
        tuple(there for there, _ in pairs),
        {"renames": dict(pairs)},
        tuple(example(extra[there], missing[here]) for there, here in pairs[:3]),
        "weight_norm and spectral_norm exist in two implementations of torch that name their tensors differently",
        LOSS_FREE,
        Rename(tuple(pairs)),
        frozenset(mark for there, here in pairs for mark in (("unexpected", there), ("missing", here))),
    )


def _pruned(facts: Facts) -> Iterator[Finding]:
    """Yields weights that the file keeps as unpruned values and a mask, where the model has the weight itself."""
    missing = {d.key: d.expected for d in facts.of_kind("missing") if d.expected is not None}
    extra = {d.key: d.found for d in facts.of_kind("unexpected") if d.found is not None}
    rows = [
        (key, f"{key}_orig", f"{key}_mask")
        for key, wanted in missing.items()
        if (whole := extra.get(f"{key}_orig")) is not None
        and (mask := extra.get(f"{key}_mask")) is not None
        and whole.shape == mask.shape == wanted.shape
        and whole.layout == mask.layout == "strided"
    ]
    if not rows:
        return
    first = rows[0]
    yield Finding(
        CODE,
        "error",
        f"{count(len(rows), 'weight')} of the file {'is' if len(rows) == 1 else 'are'} kept as pruning keeps "
        f"{'it' if len(rows) == 1 else 'them'}, unpruned values and a mask: `{first[1]}` and `{first[2]}` for `{first[0]}`",
        tuple(key for _, *parts in rows for key in parts),
        {"weights": {key: parts for key, *parts in rows}},
        tuple(example(extra[whole], missing[key]) for key, whole, _ in rows[:3]),
        "torch.nn.utils.prune was applied to the model, and not made permanent (prune.remove) before it was saved",
        f"{LOSS_FREE}: value times mask, as the pruned model computes it; what the mask hides was never used",
        Mask(tuple(rows)),
        frozenset(mark for key, *parts in rows for mark in (("missing", key), *(("unexpected", part) for part in parts))),
    )


def _older(key: str) -> Iterator[str]:
    """Keys under which the older implementation keeps a part that the newer one keeps under this key."""
    parts = _PARTS.fullmatch(key)
    if parts is None:
        return
    for new, old in _SPELLINGS:
        if new.format(name="*") == f"parametrizations.*.{parts['part']}":
            owner = f"{parts['owner']}." if parts["owner"] else ""
            yield owner + old.format(name=parts["name"])


def detect_losses(facts: Facts) -> Iterator[Finding]:
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


RULE = Rule(CODE, detect, page=__doc__ or "")
AUDIT = Rule(CODE, detect_losses, "audit", page=__doc__ or "")
