"""File and model call the same tensors by other names.

## Cause

A class was rewritten, layers were renamed or put into another container, numbers moved because layers without weights came or
went: the tensors are all there, under names that the model does not know. Names alone do not tell which is which, and a name
that exists on both sides can be another layer's. intact compares what the modules hold: one that holds the same shapes as one
single other module is that one; several alike are told apart by their names, or by numbers that run in the same sense. Where
only the order of the file is left, the mapping is offered and waits for your word; where nothing is left, none is offered.

## Example

```python
import torch
from torch import nn

import intact


class Old(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8))
        self.fc = nn.Linear(8, 2)


class New(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, 2)


old, path, model = Old(), "old.pth", New()
torch.save(old.state_dict(), path)
report = intact.check(path, model)
```

## Fix

```python
original = {f"blocks.{n}.{k}": v for n in (0, 1) for k, v in old.layer1[n].state_dict().items()}
original |= {f"head.{k}": v for k, v in old.fc.state_dict().items()}
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "same.pth", New()
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/pytorch/vision/pull/474
- https://github.com/qubvel-org/segmentation_models.pytorch/issues/105
- https://github.com/pytorch/pytorch/issues/6584
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from intact.alignment import Match, Renames, find_affixes, find_renames
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example
from intact.numbering import families, splits
from intact.repairs.rename import Rename

CODE = "arch/renamed-key"

LEAST_SHARE = 0.5
"""Share of the smaller side that must have a counterpart; below it the file is of another model."""

PATTERNS_SHOWN = 3


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields what has another name in the file, first what nothing else fits, then what the user has to agree to."""
    if any(tensor.nest for tensor in facts.found.tensors.values()) or not _names_differ(facts):
        return
    renames = _renames(facts)
    if renames is None or not renames.matches or renames.share < LEAST_SHARE:
        return
    if any(len(affix.pairs) + len(affix.also) >= len(renames.matches) for affix in find_affixes(facts.found, facts.expected)):
        return  # one prefix says the same, and says it shorter
    uncounted = [family.path for family in families(facts) if len(family.found) != len(family.expected)]
    matches = tuple(match for match in renames.matches if not any(_moved_within(match, path) for path in uncounted))
    if matches and (finding := _finding(facts, replace(renames, matches=matches))).explains:
        yield finding


def _moved_within(match: Match, path: str) -> bool:
    """Whether a layer only changed its number in a family that has more layers on one side: that is not a matter of names."""
    sides = [{index for place, index, _ in splits(key) if place == path} for key in (match.found, match.expected)]
    return bool(sides[0]) and bool(sides[1]) and sides[0] != sides[1]


def _names_differ(facts: Facts) -> bool:
    kinds = {d.kind for d in facts.differences}
    return "missing" in kinds and ("unexpected" in kinds or "shape" in kinds)


@lru_cache(maxsize=4)
def _renames(facts: Facts) -> Renames | None:
    return find_renames(facts.found, facts.expected)


def _finding(facts: Facts, renames: Renames) -> Finding:
    found, expected = facts.found.tensors, facts.expected.tensors
    matches = renames.matches
    evidence = {
        "grade": "forced" if renames.forced else "likely",
        "patterns": [{"found": there, "expected": here, "keys": number} for there, here, number in renames.patterns],
        "renames": {match.found: match.expected for match in matches},
        "told_by": _told_by(matches),
        "unmatched": list(renames.unmatched),
    }
    return Finding(
        CODE,
        "error",
        _headline(renames),
        tuple(match.found for match in matches),
        evidence,
        tuple(example(found[match.found], expected[match.expected]) for match in _one_of_each(renames)),
        _cause(renames),
        LOSS_FREE if renames.forced else _agree(matches),
        Rename(tuple((m.found, m.expected) for m in matches), renames.aside, lossless=renames.forced),
        _explained(facts, renames),
    )


def _headline(renames: Renames) -> str:
    shown = [f"`{there or '(nothing)'}` → `{here or '(nothing)'}`" for there, here, _ in renames.patterns[:PATTERNS_SHOWN]]
    more = len(renames.patterns) - len(shown)
    rest = f" and {more} more" if more > 0 else ""
    return f"{count(len(renames.matches), 'key')} {'has' if len(renames.matches) == 1 else 'have'} other names in the file: " + (
        ", ".join(shown) + rest
    )


_TELLS = {
    "name": "names",
    "shape": "shapes that only one module on each side holds",
    "lone-shape": "a shape that only one tensor on each side has",
    "number": "numbers that run in the same sense",
    "similar-name": "names that mean the same",
}


def _told_by(matches: tuple[Match, ...]) -> dict[str, int]:
    kinds = [match.evidence for match in matches]
    return {kind: kinds.count(kind) for kind in _TELLS if kind in kinds}


def _cause(renames: Renames) -> str:
    ways = [_TELLS[kind] for kind in _told_by(renames.matches)]
    return f"file and model were written by different code; which key is which is told by {', '.join(ways)}"


def _agree(matches: tuple[Match, ...]) -> str:
    weak = next(match for match in matches if match.grade == "likely")
    return (
        f"look at the mapping first (`{weak.found}` → `{weak.expected}` rests on {_TELLS[weak.evidence]}); "
        f'if it is right, allow it: allow=["{CODE}"] (command: --allow {CODE})'
    )


def _one_of_each(renames: Renames) -> list[Match]:
    """The first matches, of different modules where there are several."""
    heads: dict[str, Match] = {}
    for match in renames.matches:
        heads.setdefault(match.found.partition(".")[0], match)
    return list(heads.values())[:PATTERNS_SHOWN]


def _explained(facts: Facts, renames: Renames) -> frozenset[tuple[str, str]]:
    """The differences that are gone afterwards."""
    moved = {match.found: match.expected for match in renames.matches}
    new, held = set(moved.values()), facts.found.tensors
    gone = set(renames.aside)
    explained = {d.mark for d in facts.differences if d.kind == "missing" and d.key in new}
    explained |= {d.mark for d in facts.differences if d.kind == "unexpected" and (d.key in moved or d.key in gone)}
    source = {here: there for there, here in moved.items()}
    for d in facts.of_kind("shape"):
        if d.key in source and d.expected is not None and held[source[d.key]].shape == d.expected.shape:
            explained.add(d.mark)
    return frozenset(explained)


RULE = Rule(CODE, detect, page=__doc__ or "")
