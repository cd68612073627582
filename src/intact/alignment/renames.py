"""The renames that an alignment calls for, with their pattern, their grade, and what stays open.

Every key takes part, those that agree by name too: a name that exists on both sides may be another layer's. What an alignment
leaves over on both sides makes it weaker, so that what hangs on a single shape is then only likely.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from intact.alignment.matching import Choice, Match, Matching
from intact.alignment.naming import resembling
from intact.alignment.orientation import orientation_of, turned_round
from intact.alignment.trees import Node, grow
from intact.core.description import Description
from intact.core.keys import leaf_of, natural_order, owner_of, tokens_of
from intact.core.tensor import TensorInfo

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Renames:
    """What has another name in the file than in the model.

    Attributes:
        matches: Tensors whose names differ, in the order of the model.
        choices: What could be each other in several ways and is left alone.
        aside: Keys of the file that match nothing and whose names are needed for others.
        patterns: Name there, name here, with numbers as `{n}`, and for how many tensors; the most frequent first.
        unmatched: Keys of the model without a counterpart.
        share: Part of the smaller side's tensors that have a counterpart, or one of several that it may be.
        loose: Whether shapes were compared without their order and without dimensions of one element.
    """

    matches: tuple[Match, ...]
    choices: tuple[Choice, ...] = ()
    aside: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str, int], ...] = ()
    unmatched: tuple[str, ...] = ()
    share: float = 1.0
    loose: bool = False

    @property
    def forced(self) -> bool:
        """Whether no other mapping fits the evidence."""
        return all(match.grade == "forced" for match in self.matches)


def find_renames(found: Description, expected: Description) -> Renames | None:
    """Returns the renames between two descriptions, None where there are none, or the file is of another model.

    Args:
        found: What the container holds, without nesting.
        expected: What the model wants.
    """
    exact, doubtful = _exact(found, expected)
    missing = sum(1 for key, tensor in expected.tensors.items() if tensor.shape and key not in exact)
    best, loose = exact, False
    if missing and len(exact) < sum(1 for tensor in found.tensors.values() if tensor.shape):
        turned = _aligned(found, expected, loose=True)
        if len(turned.by_key) > len(exact.by_key):
            best, loose = turned, True
    wanted = sum(1 for tensor in expected.tensors.values() if tensor.shape)
    smaller = min(wanted, sum(1 for tensor in found.tensors.values() if tensor.shape))
    if not smaller:
        return None
    open_keys = sum(choice.count for choice in best.choices if len(choice.found) == len(choice.expected))
    share = (len(best.by_key) + open_keys) / smaller
    matches = [_agreed_to(match) if match.expected in doubtful else match for match in _graded(best, found, wanted)]
    matches += _counters(matches, found, expected)
    changed = tuple(match for match in matches if match.found != match.expected)
    if not changed and not best.choices:
        return None
    used, taken = {match.found for match in matches}, {match.expected for match in changed}
    held = {match.expected for match in matches}
    return Renames(
        tuple(sorted(changed, key=_in_order(expected))),
        tuple(best.choices),
        tuple(key for key in found.tensors if key in taken and key not in used),
        patterns_of((match.found, match.expected) for match in changed),
        tuple(key for key in expected.tensors if key not in held),
        share,
        loose,
    )


def _exact(found: Description, expected: Description) -> tuple[_Aligned, frozenset[str]]:
    """What equal shapes tell, with matrices as the file keeps them, and what another way of keeping them would make another."""
    kept = orientation_of(found, expected)
    if kept == "turned":
        return _aligned(found, turned_round(expected), loose=False), frozenset()
    straight = _aligned(found, expected, loose=False)
    if kept == "straight":
        return straight, frozenset()
    turned = _aligned(found, turned_round(expected), loose=False)
    if len(turned) != len(straight):
        return max(turned, straight, key=len), frozenset()
    unchanged = [way for way in (straight, turned) if all(match.found == key for key, match in way.by_key.items())]
    if unchanged:
        return unchanged[0], frozenset()
    others = {key: match.found for key, match in turned.by_key.items()}
    differs = {key: match.found for key, match in straight.by_key.items() if others.get(key) != match.found}
    named = all(_related(there, key) and not _related(others.get(key, ""), key) for key, there in differs.items())
    return straight, frozenset(() if named else differs)


@dataclass(frozen=True, slots=True)
class _Aligned:
    by_key: Mapping[str, Match]
    choices: tuple[Choice, ...]

    def __contains__(self, key: str) -> bool:
        return key in self.by_key

    def __len__(self) -> int:
        return len(self.by_key)


def _aligned(found: Description, expected: Description, *, loose: bool) -> _Aligned:
    keys = sorted(
        found.tensors, key=natural_order
    )  # the order of a file is no evidence: whoever copies a state dict may change it
    ours = [found.tensors[key] for key in keys]
    theirs = [tensor for tensor in expected.tensors.values() if not tensor.lazy]
    matching = Matching()
    matching.match(grow(ours, loose=loose), grow(theirs, loose=loose))
    matches, choices = matching.matches, matching.choices
    if matches:
        again = _left_over(matching, ours, theirs, loose=loose)
        matches, choices = matches + again.matches, choices + again.choices
    return _Aligned({match.expected: match for match in matches}, tuple(choices))


def _left_over(matching: Matching, ours: list[TensorInfo], theirs: list[TensorInfo], *, loose: bool) -> Matching:
    """What two modules that were held for the same had in excess, on both sides, beside what stands elsewhere."""
    open_paths = [{path for choice in matching.choices for path in side(choice)} for side in (_found_of, _expected_of)]
    taken = [{match.found for match in matching.matches}, {match.expected for match in matching.matches}]
    rest = [
        [t for t in tensors if t.shape and t.key not in gone and not _is_below(t.key, paths)]
        for tensors, gone, paths in zip((ours, theirs), taken, open_paths, strict=True)
    ]
    again = Matching()
    if all(rest):
        again.match(*(Node("", children=[grow(tensors, loose=loose)]) for tensors in rest))  # nothing says that these are one
        again.matches = _supported(again.matches, matching.matches, ours, theirs)
    return again


def _supported(matches: list[Match], sure: list[Match], ours: list[TensorInfo], theirs: list[TensorInfo]) -> list[Match]:
    """Left over tensors are certain where only one on each side has such a shape, or their module has such a tensor."""
    counted = [Counter(tensor.shape for tensor in tensors) for tensors in (ours, theirs)]
    shapes = {tensor.key: tensor.shape for tensor in theirs}
    alone = [m for m in matches if all(side[shapes[m.expected]] == 1 for side in counted)]
    modules = {_without_common_end(m.found, m.expected) for m in (*alone, *(m for m in sure if m.grade == "forced"))}
    certain = {m.expected for m in alone}
    certain |= {m.expected for m in matches if not modules.isdisjoint(_common_ends(m.found, m.expected))}
    told = [m for m in matches if m.expected in certain or m.evidence != "lone-shape" or _related(m.found, m.expected)]
    return [m if m.expected in certain else _agreed_to(m) for m in told]


def _common_ends(found: str, expected: str) -> Iterator[tuple[str, str]]:
    """Two keys, and what is left of them with one more common last name taken away, and one more."""
    ours, theirs = tokens_of(found), tokens_of(expected)
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
        yield ".".join(ours), ".".join(theirs)


def _without_common_end(found: str, expected: str) -> tuple[str, str]:
    return list(_common_ends(found, expected))[-1] if leaf_of(found) == leaf_of(expected) else (found, expected)


def _is_below(key: str, paths: set[str]) -> bool:
    while key not in paths:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return False
    return True


def _found_of(choice: Choice) -> tuple[str, ...]:
    return choice.found


def _expected_of(choice: Choice) -> tuple[str, ...]:
    return choice.expected


def _graded(aligned: _Aligned, found: Description, wanted: int) -> list[Match]:
    """What hangs on one shape alone is certain only where nothing is left over, or where the names resemble each other."""
    matches = list(aligned.by_key.values())
    matches = [_agreed_to(match) for match in matches] if _one_name_for_another(matches) else matches
    held = sum(1 for tensor in found.tensors.values() if tensor.shape)
    if len(matches) == wanted == held:
        return matches
    return [
        replace(match, grade="likely") if match.evidence == "lone-shape" and not _related(match.found, match.expected) else match
        for match in matches
    ]


def _one_name_for_another(matches: list[Match]) -> bool:
    """Whether, beside names that agree, a single one stands for one that it has nothing in common with: maybe another part."""
    changed = {_difference(match.found, match.expected) for match in matches if match.found != match.expected}
    if len(changed) != 1 or all(match.found != match.expected for match in matches):
        return False
    ((there, here),) = changed
    if not there or not here or "{n}" in there or "{n}" in here:
        return False
    places, sure = resembling([there], [here])
    return places is None or not sure


def _agreed_to(match: Match) -> Match:
    return match if match.found == match.expected else replace(match, grade="likely")


def _related(found: str, expected: str) -> bool:
    """Whether two keys share what they are called, or all but one part of where they stand."""
    ours, theirs = tokens_of(found), tokens_of(expected)
    if len(ours) == len(theirs) and sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1 and len(ours) > 1:
        return True
    (pairs, sure) = resembling([found], [expected])
    return pairs is not None and sure


def _counters(matches: Iterable[Match], found: Description, expected: Description) -> list[Match]:
    """Tensors without dimensions follow the others of their module."""
    owners = {owner_of(match.expected): match for match in matches}
    rest = []
    for key, tensor in expected.tensors.items():
        beside = owners.get(owner_of(key)) if not tensor.shape else None
        if beside is not None:
            other = f"{owner_of(beside.found)}.{leaf_of(key)}".lstrip(".")
            if other in found.tensors and not found.tensors[other].shape:
                rest.append(Match(other, key, beside.grade, beside.evidence))
        elif not tensor.shape and key in found.tensors:
            rest.append(Match(key, key))
    return rest


def patterns_of(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str, int], ...]:
    """Returns what is different in some pairs of keys: the parts that differ, with numbers as `{n}`, and how often."""
    votes = Counter(_difference(found, expected) for found, expected in pairs)
    return tuple((there, here, number) for (there, here), number in votes.most_common())


def _difference(found: str, expected: str) -> tuple[str, str]:
    ours, theirs = tokens_of(found), tokens_of(expected)
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    start = 0
    while start < min(len(ours), len(theirs)) - 1 and ours[start] == theirs[start] and not ours[start].isdecimal():
        start += 1
    there, here = (_NUMBER.sub("{n}", ".".join(side[start:])) for side in (ours, theirs))
    return there, here


def _in_order(expected: Description) -> Callable[[Match], int]:
    place = {key: number for number, key in enumerate(expected.tensors)}
    return lambda match: place[match.expected]
