"""A wrapper left its name in the keys.

## Cause

The state dict of the wrapper was saved instead of that of the network inside it. `DataParallel` and `DistributedDataParallel`
keep the network under `module`, `torch.compile` under `_orig_mod`, a LightningModule under the name of your attribute, often
`model`. Strict loading then lists every key twice, once as missing and once as unexpected; `strict=False` loads nothing and
says nothing. The same happens the other way round, when the model is wrapped and the file is not, and in the middle of keys,
where FSDP and activation checkpointing wrap single layers. The prefix is learned from the keys themselves, so any name will
do; where two fit equally well (`student.`, `teacher.`), `at="student"` chooses.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
parallel = nn.DataParallel(net)
path = "model.pth"
torch.save(parallel.state_dict(), path)  # the wrapper's keys: module.0.weight, …

model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)  # only keys change, so nothing has to be allowed
original = net.state_dict()  # what the model holds now, bit for bit
# when saving the next time: torch.save(parallel.module.state_dict(), path)
```

## Look-alike

```python
class Client(nn.Module):
    # Its own layer is called `module`: the name belongs to the model, on both sides
    def __init__(self):
        super().__init__()
        self.module = nn.Linear(4, 2)


path, model = "client.pth", Client()
torch.save(Client().state_dict(), path)
```

## Source

- https://github.com/pytorch/pytorch/issues/3805
- https://github.com/pytorch/pytorch/issues/101107
- https://github.com/pytorch/pytorch/issues/117399
- https://github.com/huggingface/transformers/issues/32067
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from intact.alignment import Affix, find_affixes, find_averages, named_place, named_prefix, says_averaged
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.families import patterns_of
from intact.repairs.rename import Rename

CODE = "arch/key-prefix"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields what stands before or between the parts of the keys on one side only."""
    if any(tensor.nest for tensor in facts.found.tensors.values()):
        return  # places come first: a prefix is a property of the keys of one mapping
    named = named_place(facts.original, facts.at) if facts.at is not None else None
    if named is not None and named[1]:
        below = named_prefix(named[1], facts.found, facts.expected)
        if below.pairs or below.also:
            yield _one(facts, below)
            return
    options = find_affixes(facts.found, facts.expected)
    options = tuple(option for option in options if not _is_counted_otherwise(facts, option))
    raw = tuple(option for option in options if not any(map(says_averaged, option.removed)))
    chosen = raw or options
    if len(chosen) > 1:
        yield _ambiguous(facts, chosen)
    elif chosen:
        yield _one(facts, _sparing_averages(facts, chosen[0]))


def _sparing_averages(facts: Facts, affix: Affix) -> Affix:
    """The affix without leaving averages of the weights aside, of which there is more to say."""
    if not any(map(says_averaged, affix.aside)):
        return affix
    spared = {key for row in find_averages(facts.found, facts.expected) for key in (*(a for a, _ in row.pairs), *row.beside)}
    return replace(affix, aside=tuple(key for key in affix.aside if key not in spared))


def _is_counted_otherwise(facts: Facts, affix: Affix) -> bool:
    """Whether layers of one kind are left over on both sides: then equal numbers do not stand for equal layers."""
    taken, given = {a for a, _ in (*affix.pairs, *affix.also)}, {b for _, b in affix.pairs}
    found, expected = facts.found.tensors, facts.expected.tensors
    rest = set(patterns_of(key for key in found if key not in taken and key not in expected).values())
    wanted = set(patterns_of(key for key in expected if key not in given and key not in found).values())
    if not rest or not wanted:
        return False
    there, here = patterns_of(a for a, _ in affix.pairs), patterns_of(b for _, b in affix.pairs)
    return any(here[b] in wanted and there[a] in rest for a, b in affix.pairs)


def _one(facts: Facts, affix: Affix) -> Finding:
    found, expected = facts.found.tensors, facts.expected.tensors
    marks = [mark for a, b in affix.pairs for mark in (("unexpected", a), ("missing", b))]
    marks += [("unexpected", key) for key in (*affix.aside, *(a for a, _ in affix.also))]
    return Finding(
        CODE,
        "error",
        _headline(facts, affix),
        tuple(a for a, _ in (*affix.pairs, *affix.also)),
        {"removed": list(affix.removed), "added": list(affix.added), "inside": affix.inside, "aside": list(affix.aside)},
        tuple(example(found[a], expected[b]) for a, b in affix.pairs[:3]),
        _cause(affix),
        LOSS_FREE,
        Rename((*affix.pairs, *affix.also), affix.aside),
        frozenset(mark for mark in marks if mark in facts.marks),
    )


def _headline(facts: Facts, affix: Affix) -> str:
    number, total = len(affix.pairs) + len(affix.also), len(facts.found.tensors) - len(affix.aside)
    same = f"the same {number:,}" if not affix.also else f"{len(affix.pairs):,} of them"
    keys = f"all {number:,} keys" if number == total and number > 1 else f"{number:,} of {count(total, 'key')}"
    verb = "has" if number == 1 else "have"
    if affix.inside:
        sides = [
            f"{some(affix.removed)} in the file" if affix.removed else "",
            f"{some(affix.added)} in the model" if affix.added else "",
        ]
        return f"{keys} {verb} extra parts: {' and '.join(side for side in sides if side)}"
    if affix.removed:
        apart = "left aside" if any(key in facts.expected.tensors for key in affix.aside) else "not the model's"
        start = "starts" if number == 1 else "start"
        rest = f"; {count(len(affix.aside), 'other key')} ({some(affix.aside)}) {apart}" if affix.aside else ""
        without = f"the model has {same} without it" if affix.pairs else "no key of the model does"
        return f"{keys} {start} with `{affix.removed[0]}`, and {without}{rest}"
    return f"{keys} {'lacks' if number == 1 else 'lack'} the `{affix.added[0]}` that the model's keys start with"


_MEANING = {
    "module": "the model was wrapped in DataParallel or DistributedDataParallel",
    "_orig_mod": "the model was wrapped by torch.compile",
    "_fsdp_wrapped_module": "the model was wrapped in FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing wrapped its layers",
    "_forward_module": "a Lightning strategy wrapped the model",
    "model": "the model was an attribute `model` of what was saved, as in a LightningModule",
}


def _cause(affix: Affix) -> str:
    told = [
        f"{_MEANING[token]} when {'it was saved' if side is affix.removed else 'it is loaded'}"
        for side in (affix.removed, affix.added)
        for token in dict.fromkeys(part for prefix in side for part in prefix.strip(".").split("."))
        if token in _MEANING
    ]
    return "; ".join(told) or "the model was part of another module on one side, under a name that stayed in the keys"


def _ambiguous(facts: Facts, options: tuple[Affix, ...]) -> Finding:
    names = [" ".join([*option.removed, *option.added]) for option in options]
    marks = frozenset(m for o in options for a, b in o.pairs for m in (("unexpected", a), ("missing", b)))
    return Finding(
        CODE,
        "error",
        f"{count(len(options), 'prefix', 'prefixes')} fit the model's keys equally well: {some(names, 8)}",
        tuple(dict.fromkeys(a for option in options for a, _ in option.pairs)),
        {"candidates": names},
        tuple(example(facts.found.tensors[o.pairs[0][0]], facts.expected.tensors[o.pairs[0][1]]) for o in options[:3]),
        "the checkpoint holds several networks of this shape, and nothing tells which is meant",
        f'name the one you want: at="{names[0].rstrip(".")}" (command: --at {names[0].rstrip(".")})',
        None,
        marks,
        ambiguous=True,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
