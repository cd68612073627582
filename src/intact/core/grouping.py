"""Many keys in few lines, without saying anything that is not so: `layers.{0..11}.attn.qkv.weight`.

A group stands for the full product of its listed indices, and every key of that product is there; a key that is missing, or that
differs in what the caller compares (dtype and shape), splits the group instead of being covered by it. Indices are whole
components of a key (`layers.3.`, `state[3]`) written the one usual way, so that a group gives back the keys it was made of.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

MOST_LEAVES = 6
LONGEST_LEAVES = 48
"""How many leaves one group may list, and how many characters of them; more is harder to read than a line for each."""

MOST_PLACES = 8
"""Places of one key that are read as indices; what comes behind is text. Real keys have four, a made-up one thousands."""

_INDEX = re.compile(r"(?:(?<=\.)|(?<=\[)|\A)(0|[1-9][0-9]{0,17})(?=\.|\]|\Z)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

Box = tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that are the full product of some indices and leaves.

    Attributes:
        literals: The text around the indices, one piece more than there are indices.
        indices: The numbers at each place, ascending.
        leaves: Names at the end, behind the last literal; empty where that literal is the end.
        first: The first of its keys in the order they were given.
    """

    literals: tuple[str, ...]
    indices: tuple[tuple[int, ...], ...]
    leaves: tuple[str, ...]
    first: str

    @property
    def count(self) -> int:
        """How many keys it stands for."""
        number = max(1, len(self.leaves))
        for listed in self.indices:
            number *= len(listed)
        return number

    @property
    def pattern(self) -> str:
        """The group as text; a key itself where it stands for one. Braces that belong to a key have a backslash before them."""
        return self.text(None)

    def text(self, most_runs: int | None = 6) -> str:
        """Returns the pattern; lists of more than `most_runs` runs of numbers are counted in place of listed."""
        if self.count == 1:
            return self.first
        text = _escaped(self.literals[0])
        for listed, literal in zip(self.indices, self.literals[1:], strict=True):
            text += index_text(listed, most_runs) + _escaped(literal)
        if not self.leaves:
            return text
        return text + (f"{{{', '.join(self.leaves)}}}" if len(self.leaves) > 1 else self.leaves[0])

    def keys(self) -> Iterator[str]:
        """Yields every key it stands for, once."""
        for chosen in product(*self.indices):
            head = self.literals[0] + "".join(
                f"{index}{literal}" for index, literal in zip(chosen, self.literals[1:], strict=True)
            )
            yield from (head + leaf for leaf in self.leaves or ("",))


def index_text(indices: Sequence[int], most_runs: int | None = None) -> str:
    """Returns ascending numbers as reports print them: `3`, `{0, 1}`, `{0..11}`, `{0..3, 7}`, `{106 of 0..187}`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    if len(runs) == 1 and len(runs[0]) == 1:
        return str(runs[0][0])
    if most_runs is not None and len(runs) > most_runs:
        return f"{{{len(indices):,} of {indices[0]}..{indices[-1]}}}"
    parts = [f"{run[0]}..{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"{{{', '.join(parts)}}}"


def group_keys(keys: Mapping[str, Hashable] | Iterable[str], *, leaves: bool = False) -> tuple[Group, ...]:
    """Returns groups that give back exactly the keys, each once, ordered by the first key of each.

    Args:
        keys: Keys, or keys with what has to be equal within a group (dtype, shape, …).
        leaves: Whether keys that differ in their last component alone are put together too: `bn1.{weight, bias}`.
    """
    profiles: Mapping[str, Hashable] = keys if isinstance(keys, Mapping) else dict.fromkeys(keys)
    order: dict[str, int] = {}
    buckets: dict[tuple[tuple[str, ...], Hashable], dict[tuple[int, ...], str]] = {}
    for number, (key, profile) in enumerate(profiles.items()):
        parts = _INDEX.split(key, MOST_PLACES)
        order[key] = number
        buckets.setdefault((tuple(parts[::2]), profile), {})[tuple(map(int, parts[1::2]))] = key
    groups: list[tuple[Group, Hashable]] = []
    for (literals, profile), members in buckets.items():
        for box in _boxes(members):
            indices = tuple(tuple(sorted(part)) for part in box)
            first = min((members[chosen] for chosen in product(*indices)), key=order.__getitem__)
            groups.append((Group(literals, indices, (), first), profile))
    if leaves:
        groups = _with_leaves(groups, order)
    return tuple(group for group, _ in sorted(groups, key=lambda row: order[row[0].first]))


def _boxes(points: Iterable[tuple[int, ...]]) -> list[Box]:
    """Returns disjoint products of index sets that cover exactly the points.

    Boxes that agree in all places but one are joined there, place by place from the last: each join is exact, so the end is.
    """
    boxes: list[Box] = [tuple(frozenset((index,)) for index in point) for point in points]
    for place in reversed(range(len(boxes[0]))):
        joined: dict[tuple[Box, Box], set[int]] = {}
        for box in boxes:
            joined.setdefault((box[:place], box[place + 1 :]), set()).update(box[place])
        boxes = [(*before, frozenset(values), *after) for (before, after), values in joined.items()]
    return boxes


def _with_leaves(groups: list[tuple[Group, Hashable]], order: Mapping[str, int]) -> list[tuple[Group, Hashable]]:
    """Puts groups together that differ in their last component alone, where there are few of them."""
    families: dict[Hashable, list[tuple[Group, Hashable]]] = {}
    for row in groups:
        group, profile = row
        owner, dot, leaf = group.literals[-1].rpartition(".")
        alone: Hashable = group.first  # a group that has no leaf stays by itself
        family = ((*group.literals[:-1], owner + dot), group.indices, profile) if dot and _WORD.match(leaf) else alone
        families.setdefault(family, []).append(row)
    joined: list[tuple[Group, Hashable]] = []
    for rows in families.values():
        length = sum(len(group.literals[-1].rpartition(".")[2]) for group, _ in rows)
        joined += [_joined(rows, order)] if 1 < len(rows) <= MOST_LEAVES and length <= LONGEST_LEAVES else rows
    return joined


def _joined(rows: list[tuple[Group, Hashable]], order: Mapping[str, int]) -> tuple[Group, Hashable]:
    rows = sorted(rows, key=lambda row: order[row[0].first])
    first, profile = rows[0]
    owner, dot, _ = first.literals[-1].rpartition(".")
    names = tuple(group.literals[-1].rpartition(".")[2] for group, _ in rows)
    return Group((*first.literals[:-1], owner + dot), first.indices, names, first.first), profile


def _escaped(literal: str) -> str:
    return literal.replace("{", "\\{").replace("}", "\\}")
