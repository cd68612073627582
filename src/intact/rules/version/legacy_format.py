"""The file is in a format of an older PyTorch.

## Cause

Until 0.4.0 PyTorch wrote no `num_batches_tracked` for normalisation layers, and until 0.4 InstanceNorm kept running statistics
that it did not use. Both kinds of file are still downloaded every day. A strict load of today calls the counters missing where
the version of the state dict was lost (a re-saved or filtered dict), and the statistics unexpected. The counters matter only
with `momentum=None`, zero stands in for them; the statistics were never used, and dropping them changes nothing.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
# what PyTorch 0.3 wrote: no counters, no versions, and the container from before 1.6
old = {key: value for key, value in net.state_dict().items() if "num_batches_tracked" not in key}
path = "from-2017.pth"
torch.save(old, path, _use_new_zipfile_serialization=False)

model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)
original = net.state_dict()  # the counter of batches is zero, as in a network that never counted
```

## Look-alike

```python
# A BatchNorm without running statistics has no counter today either.
path, model = "today.pth", nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False))
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/8481
- https://github.com/pytorch/pytorch/issues/8430
- https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/issues/262
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.keys import leaf_of, owner_of
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example
from intact.repairs.drop import Drop
from intact.repairs.fill import Fill

CODE = "version/legacy-format"
COUNTER = "num_batches_tracked"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields what PyTorch before 0.4.1 did not write yet, and what it wrote without using it."""
    if any(leaf_of(key) == COUNTER for key in facts.found.tensors):
        return
    yield from _counters(facts)
    yield from _unused_statistics(facts)


def _counters(facts: Facts) -> Iterator[Finding]:
    """Counters of normalisation layers whose other statistics are in the file."""
    found = facts.found.tensors
    mine = [
        d
        for d in facts.of_kind("missing")
        if leaf_of(d.key) == COUNTER and f"{owner_of(d.key)}.running_mean".lstrip(".") in found
    ]
    wanted = [d.expected for d in mine if d.expected is not None]
    if not wanted:
        return
    yield Finding(
        CODE,
        "info",
        f"{count(len(wanted), 'batch counter')}, as `{wanted[0].key}`, did not exist when the file was written; zero stands in",
        tuple(tensor.key for tensor in wanted),
        {"writer": "<0.4.1"},
        tuple(example(None, tensor) for tensor in wanted[:3]),
        "PyTorch keeps `num_batches_tracked` since 0.4.1; it is used only where `momentum=None`",
        "",
        Fill(tuple((tensor.key, tensor.dtype, tensor.shape) for tensor in wanted)),
        frozenset(("missing", tensor.key) for tensor in wanted),
    )


def _unused_statistics(facts: Facts) -> Iterator[Finding]:
    """Running statistics of InstanceNorm layers that track none: before 0.4 they were written and not used."""
    mine = [
        d for d in facts.of_kind("unexpected") if leaf_of(d.key) in ("running_mean", "running_var") and _tracks_none(facts, d.key)
    ]
    if not mine:
        return
    keys = tuple(d.key for d in mine)
    yield Finding(
        CODE,
        "error",
        f"{count(len(keys), 'running statistic')} of InstanceNorm, as `{keys[0]}`, date from before 0.4 and were never used",
        keys,
        {"writer": "<0.4"},
        tuple(example(d.found, None) for d in mine[:3]),
        "InstanceNorm kept running statistics by default until 0.4; these layers have `track_running_stats=False`",
        LOSS_FREE,
        Drop(keys, lossless=True),
        frozenset(d.mark for d in mine),
    )


def _tracks_none(facts: Facts, key: str) -> bool:
    owner = facts.expected.module_of(key)
    return (
        owner is not None
        and owner.class_name.rpartition(".")[2].startswith("InstanceNorm")
        and owner.hyperparameters.get("track_running_stats") is False
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
