"""The checkpoint also holds averaged weights, and they are not the ones that are loaded.

## Cause

Training kept a moving average of the weights (EMA, SWA, Polyak) and saved it beside the raw ones: as an entry of its own
(`state_dict_ema`, `ema_model`), or flat among the keys (`ema_backbone_conv1_weight`). Published numbers are usually those of
the averages; loading the raw weights gives results a little below the paper, with the authors' own file. The raw weights are
what is loaded by default, because resuming needs them; for evaluation name the averages: `at="state_dict_ema"`, or what the
flat keys start with, `at="model_ema"`.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Linear(4, 2)
averaged = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
averaged.update_parameters(net)
path = "epoch-90.pth"
torch.save({"epoch": 90, "state_dict": net.state_dict(), "state_dict_ema": averaged.module.state_dict()}, path)

model = nn.Linear(4, 2)
report = intact.check(path, model)
```

Also: arch/nested-state, which says that the weights are one level down.

## Fix

```python
report = intact.load_into(model, path, at="state_dict_ema")  # for evaluation; without `at` the raw weights, for training on
original = averaged.module.state_dict()
```

## Look-alike

```python
class MeanTeacher(nn.Module):
    # The average is a part of the model itself: the file has it, and the model wants it
    def __init__(self):
        super().__init__()
        self.student, self.ema_teacher = nn.Linear(4, 2), nn.Linear(4, 2)


path, model = "mean-teacher.pth", MeanTeacher()
torch.save(MeanTeacher().state_dict(), path)
```

## Source

- https://github.com/happyharrycn/actionformer_release/issues/103
- https://github.com/cvlab-columbia/zero123/issues/68
- https://github.com/open-mmlab/mmdetection/issues/4667
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment import AVERAGED, Averages, find_averages, find_place, named_place, says_averaged
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import count, example, some
from intact.repairs.drop import Drop
from intact.repairs.rename import Rename

CODE = "state/ema-present"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields flat copies named `ema_backbone_conv1_weight` beside the keys that they are averages of, or in their place."""
    if not facts.says(AVERAGED):
        return
    named = named_place(facts.original, facts.at) if facts.at is not None else None
    found = facts.found.tensors
    for averages in find_averages(facts.found, facts.expected):
        if named is not None and named[1] == averages.front:
            yield _instead(facts, averages)
        elif all(raw in found for _, raw in averages.pairs):
            yield _beside(facts, averages)


def _beside(facts: Facts, averages: Averages) -> Finding:
    found, copies = facts.found.tensors, averages.pairs
    keys = (*(key for key, _ in copies), *averages.beside)
    return Finding(
        CODE,
        "warning",
        f"{count(len(copies), 'key')}, as `{copies[0][0]}`, {'holds' if len(copies) == 1 else 'hold'} averages of the weights "
        "that are loaded",
        tuple(key for key, _ in copies),
        {"averages": dict(copies)},
        tuple(example(found[key], facts.expected.tensors[raw]) for key, raw in copies[:3]),
        "training kept a moving average of the weights as flat buffers; evaluation usually wants the averages",
        f'to load the averages: at="{averages.front}" (command: --at {averages.front})',
        Drop(keys, lossless=True),
        frozenset(("unexpected", key) for key in keys),
    )


def _instead(facts: Facts, averages: Averages) -> Finding:
    found, copies = facts.found.tensors, averages.pairs
    taken = {key for key, _ in copies}
    aside = tuple(key for key in found if key not in taken)
    marks = {("unexpected", key) for key in found} | {("missing", raw) for _, raw in copies}
    return Finding(
        CODE,
        "warning",
        f"{count(len(copies), 'average')} under `{averages.front}`, as `{copies[0][0]}`, {'is' if len(copies) == 1 else 'are'} "
        "loaded, and not the weights that they were made of",
        tuple(key for key, _ in copies),
        {"averages": dict(copies)},
        tuple(example(found[key], facts.expected.tensors[raw]) for key, raw in copies[:3]),
        "training kept a moving average of the weights as flat buffers",
        "",
        Rename(copies, aside),
        frozenset(d.mark for d in facts.differences if d.mark in marks),
    )


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields places beside the chosen one that say that they hold averages of the same tensors."""
    if not any(map(says_averaged, {tensor.nest for tensor in facts.original.tensors.values()})):
        return
    yield from _lists(facts)
    placing = find_place(facts.original, facts.expected, None)
    if placing is None or not placing.averaged or facts.at in placing.averaged:
        return
    yield Finding(
        CODE,
        "warning",
        f"the checkpoint also holds averaged weights under {some(placing.averaged)}, and `{placing.at}` is loaded",
        tuple(key for key, t in facts.original.tensors.items() if t.nest in placing.averaged),
        {"averaged": list(placing.averaged), "loaded": placing.at},
        (),
        "training kept a moving average of the weights; evaluation usually wants the averages",
        f'to load the averages: at="{placing.averaged[0]}" (command: --at {placing.averaged[0]})',
    )


def _lists(facts: Facts) -> Iterator[Finding]:
    """Yields lists that say that they hold averages, of tensors with the shapes of the model's parameters in their order."""
    again = {key for group in facts.expected.ties for key in group[1:]}
    wanted = [t.shape for key, t in facts.expected.tensors.items() if t.role != "buffer" and key not in again]
    held: dict[str, list[TensorInfo]] = {}
    for key, tensor in facts.original.tensors.items():
        if says_averaged(tensor.nest) and key[len(tensor.nest) :].startswith("["):
            held.setdefault(tensor.nest, []).append(tensor)
    loaded = {tensor.source for key, tensor in facts.found.tensors.items() if key in facts.expected.tensors}
    for place, tensors in held.items():
        if [tensor.shape for tensor in tensors] == wanted and not any(tensor.key in loaded for tensor in tensors):
            yield Finding(
                CODE,
                "warning",
                f"the checkpoint also holds averages of the {len(wanted):,} parameters, a list under `{place}`; it is not loaded",
                tuple(tensor.key for tensor in tensors),
                {"averaged": [place], "loaded": None},
                (),
                "training kept a moving average of the weights; evaluation usually wants the averages",
                f"intact.read(path) gives the list, in the order of model.parameters(): copy each over its parameter (`{place}`)",
            )


RULE = Rule(CODE, detect, page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "")
