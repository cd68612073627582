"""The model was built with another hyperparameter than the one that was saved, and no tensor shows it.

## Cause

The number of heads, an activation, an epsilon, a temperature, a vocabulary: the constructor was given another value, or its
default changed. Shapes are equal, so that everything loads. Where the file keeps what the model was built with (a pickled model,
Lightning's `hyper_parameters`, an `args` entry, a `config.json` beside it), that is held against the model, as far as the code of
`forward` reads it. A sealed checkpoint keeps the plain attributes of all modules, and
its example inputs show whether the difference matters: where outputs are equal it is information. Without example inputs, it is
a warning where the code of `forward` reads the attribute.

## Example

```python
import torch
from torch import nn

import intact


class Head(nn.Module):
    def __init__(self, temperature=1.0):
        super().__init__()
        self.score, self.temperature = nn.Linear(8, 4), temperature

    def forward(self, x):
        return (self.score(x) / self.temperature).softmax(-1)


net, path = Head(temperature=0.3).eval(), "head.safetensors"
intact.save(net, path)
model = Head().eval()
report = intact.check(path, model)
```

## Fix

```python
model = intact.load(path, Head)  # built with the recorded arguments
assert model.temperature == 0.3
original = net.state_dict()
```

## Look-alike

```python
path, model = "same.safetensors", Head(temperature=0.3).eval()
model.note = "tuned on Monday"  # an attribute that the saved model did not have
intact.save(Head(temperature=0.3).eval(), path, example_inputs=(torch.randn(4, 8),))
```

## Source

- https://github.com/huggingface/diffusers/pull/6983
- https://github.com/Open-Athena/MarinFold/pull/184
- https://github.com/ThilinaRajapakse/simpletransformers/issues/713
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from intact.behaviour import summary
from intact.core.behaviour import AttributeChange, BehaviourFacts
from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, place
from intact.partings import change_text, grouped, related, where
from intact.setting_matches import MOST_CHANGES, Contradiction, of_modules, of_settings

CODE = "arch/hyperparameter-differs"

MOST_LISTED = 200
"""Changes that stand in the evidence, each with all modules that have it."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields attributes that matter, by the replay or by the code that reads them, and the others as information."""
    behaviour = facts.behaviour
    if behaviour is None or not behaviour.attributes:
        return
    matter = _mattering(behaviour)
    kept = set(map(id, matter))
    if matter:
        yield _finding(behaviour, matter, True)
    if rest := [row for row in behaviour.attributes if id(row) not in kept]:
        yield _finding(behaviour, rest, False)


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields what the file itself says of hyperparameters, in pickled modules or settings, and the model has otherwise."""
    if facts.container == "sealed":
        return  # its record of the architecture says more
    expected = facts.expected.modules
    said = [*islice(of_modules(facts.original.modules, expected), MOST_CHANGES)]
    rows = [row for row in said if facts.reads(row.path, row.name)]
    rows += islice(of_settings(facts.settings(), expected, facts.reads), MOST_CHANGES)
    if not rows:
        return
    groups: dict[tuple[str, str, str], list[Contradiction]] = {}
    for row in rows:
        groups.setdefault((row.name, repr(row.then), repr(row.now)), []).append(row)
    first = next(iter(groups.values()))
    row = first[0]
    more = f", and {count(len(groups) - 1, 'other')} {'differs' if len(groups) == 2 else 'differ'}" if len(groups) > 1 else ""
    yield Finding(
        CODE,
        "warning",
        f"the file says `{row.where}` = {row.then!r}, and {place(row.path)} of the model has `{row.name}` = {row.now!r}{more}",
        (),
        {"changes": [_said(group) for group in islice(groups.values(), MOST_LISTED)]},
        tuple(
            Example(f"{group[0].where} = {group[0].then!r}", f"{_named(group[0].path, group[0].name)} = {group[0].now!r}")
            for group in islice(groups.values(), 3)
        ),
        "the model was built with another value than the one whose weights these are; no shape shows it",
        "build the model with the value of the file; if the change is meant, say so by saving the model anew",
    )


def _said(group: Sequence[Contradiction]) -> dict[str, object]:
    row = group[0]
    return {
        "name": row.name,
        "class": row.class_name,
        "then": row.then,
        "now": row.now,
        "where": row.where,
        "modules": [one.path for one in group[:MOST_LISTED]],
    }


def _named(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _mattering(behaviour: BehaviourFacts) -> list[AttributeChange]:
    if behaviour.same:
        return []
    near = set(map(id, related(behaviour)))
    return [row for row in behaviour.attributes if row.used or (id(row) in near and row.name == "class")] or (
        [row for row in behaviour.attributes if id(row) in near] if behaviour.differs else []
    )


def _finding(behaviour: BehaviourFacts, rows: Sequence[AttributeChange], matters: bool) -> Finding:
    groups = sorted(grouped(rows), key=lambda group: _rank(behaviour, group[1]))
    row, paths = groups[0]
    more = (
        f", and {count(len(groups) - 1, 'other attribute')} {'differs' if len(groups) == 2 else 'differ'}" if groups[1:] else ""
    )
    return Finding(
        CODE,
        "warning" if matters else "info",
        f"{_of(row, paths)} {_changed(row)}{more}",
        (),
        {"changes": [_listed(*group) for group in groups[:MOST_LISTED]], **_parting(behaviour)},
        tuple(Example(f"{_path(other)} = {other.then!r}", f"{_path(other)} = {other.now!r}") for other, _ in groups[:3]),
        _cause(behaviour, matters),
        "build the model with the recorded value, or let `intact.load` build it; if the change is meant, save the model anew"
        if matters
        else "",
    )


def _rank(behaviour: BehaviourFacts, paths: list[str]) -> int:
    part = behaviour.replay.place if behaviour.replay is not None else None
    return 0 if part is not None and part.path in paths else 1


def _of(row: AttributeChange, paths: list[str]) -> str:
    if len(paths) == 1:
        return f"{place(row.path)} ({row.class_name}):"
    return f"{len(paths):,} modules, as {place(row.path)} ({row.class_name}):"


def _changed(row: AttributeChange) -> str:
    text = change_text(row)
    return text if len(text) < 200 else f"`{row.name}` has another content than when the model was saved"


def _path(row: AttributeChange) -> str:
    return f"{row.path}.{row.name}" if row.path else row.name


def _listed(row: AttributeChange, paths: list[str]) -> dict[str, object]:
    return {"name": row.name, "class": row.class_name, "then": row.then, "now": row.now, "modules": paths, "used": row.used}


def _parting(behaviour: BehaviourFacts) -> dict[str, object]:
    replay = behaviour.replay
    if replay is None:
        return {"replayed": False}
    part = replay.place
    return {"replayed": True, "outputs": replay.status, "parts_at": part.path if part is not None else None}


def _cause(behaviour: BehaviourFacts, matters: bool) -> str:
    replay = behaviour.replay
    if replay is None:
        return (
            "the code of `forward` reads it; no behaviour was recorded or replayed that would show what it does"
            if matters
            else ""
        )
    part = f"; the runs part at {where(replay.place)}" if replay.place is not None else ""
    words = {"equal": "outputs are equal, bit for bit", "rounding": "outputs agree within rounding", "raised": "the model raises"}
    return words.get(replay.status, summary(replay.gaps)) + part


RULE = Rule(CODE, detect, "replay", page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "")
