"""Two trees of keys held against each other: what the evidence forces, what it only suggests, and what it leaves open.

From the largest module to the smallest: modules that hold the same shapes belong together where there is one on each side.
Where there are several, equal names decide, then numbers that run in the same sense, then names that resemble each other. The
order of the file is no evidence: a state dict that was copied may have another one. A module that has no counterpart is
opened, and its parts are looked at beside the others.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from intact.alignment.naming import resembling
from intact.alignment.trees import Node
from intact.core.keys import natural_order

Grade = Literal["forced", "likely"]

Pair = tuple[Node, Node, Grade, str]

NEIGHBOURS_LIMIT = 64
"""Among more modules than these, none is looked for that has about the same content."""

MOSTLY = 0.5
"""Share of shapes that two modules of other content must have in common to be held for the same one."""

SEVERAL = 3
"""From how many modules without a namesake on it is taken for shown that numbers were counted another way."""

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Match:
    """One tensor on both sides.

    Attributes:
        found: Key in the file.
        expected: Key in the model.
        grade: `forced` where nothing else fits the evidence, `likely` where the user has to agree.
        evidence: What decided: `name`, `shape`, `lone-shape` (of a single tensor), `number`, `similar-name`.
    """

    found: str
    expected: str
    grade: Grade = "forced"
    evidence: str = "name"


@dataclass(frozen=True, slots=True)
class Choice:
    """Modules or tensors that could be each other in several ways.

    Attributes:
        found: Paths in the file.
        expected: Paths in the model.
        why: What leaves it open.
        count: How many tensors of the model stand in them.
    """

    found: tuple[str, ...]
    expected: tuple[str, ...]
    why: str
    count: int = 0


@dataclass(slots=True)
class Matching:
    """What came of it, filled while it is made."""

    matches: list[Match] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    _seen: dict[tuple[tuple[str, ...], tuple[str, ...], bool], tuple[list[int] | None, Grade, str]] = field(default_factory=dict)

    def match(self, found: Node, expected: Node) -> None:
        """Adds what belongs together in two modules that belong together."""
        waiting: list[Pair] = [(found, expected, "forced", "name")]
        while waiting:
            here, there, grade, evidence = waiting.pop()
            if here.tensor is not None and there.tensor is not None:
                self.matches.append(Match(here.path, there.path, grade, evidence))
                continue
            inner = [here] if here.tensor is not None else here.children
            outer = [there] if there.tensor is not None else there.children
            pool = _Pool(self, inner, outer, here.path, there.path)
            waiting += [(a, b, *_weaker((grade, evidence), (how, why))) for a, b, how, why in pool.pairs()]

    def assigned(
        self, found: list[Node], expected: list[Node], here: str, there: str, *, moved: bool
    ) -> tuple[list[int] | None, Grade, str]:
        """Returns for each of some equal modules of the file the number of the model's, None where it is open."""
        names = tuple(_below(node.path, here) for node in found)
        others = tuple(_below(node.path, there) for node in expected)
        known = (names, others, moved)
        if known not in self._seen:
            self._seen[known] = _decided(names, others, moved=moved)
        return self._seen[known]


def _weaker(outer: tuple[Grade, str], inner: tuple[Grade, str]) -> tuple[Grade, str]:
    if outer[0] == "likely":
        return outer
    return inner if inner[0] == "likely" or inner[1] != "name" else outer


def _below(path: str, root: str) -> str:
    return path[len(root) + 1 :] if root and path.startswith(root + ".") else path


class _Pool:
    """What is left to be matched inside two modules, the largest first."""

    def __init__(self, matching: Matching, found: list[Node], expected: list[Node], here: str, there: str) -> None:
        self._matching = matching
        self._roots = (here, there)
        self._sides: tuple[dict[int, list[Node]], dict[int, list[Node]]] = (defaultdict(list), defaultdict(list))
        self._names: tuple[dict[str, Node], dict[str, Node]] = ({}, {})
        self._heap: list[tuple[int, int]] = []
        self._queued: set[int] = set()
        self._moved = _moved(found, expected, here, there)
        for side, nodes in enumerate((found, expected)):
            for node in nodes:
                self._add(side, node)

    def pairs(self) -> Iterator[Pair]:
        """Yields what belongs together."""
        while self._heap:
            _, digest = heapq.heappop(self._heap)
            self._queued.discard(digest)
            found, expected = self._sides[0].pop(digest, []), self._sides[1].pop(digest, [])
            if found and expected:
                pairs, found, expected = self._of_equal_content(found, expected)
                yield from self._taken(pairs)
            for side, nodes in enumerate((found, expected)):
                for node in nodes:
                    yield from self._without_counterpart(side, node)

    def _add(self, side: int, node: Node) -> None:
        self._sides[side][node.digest].append(node)
        self._names[side][_below(node.path, self._roots[side])] = node
        if node.digest not in self._queued:
            self._queued.add(node.digest)
            heapq.heappush(self._heap, (-node.count, node.digest))

    def _taken(self, pairs: list[Pair]) -> Iterator[Pair]:
        for pair in pairs:
            for side, node in enumerate(pair[:2]):
                self._forget(side, node)
            yield pair

    def _forget(self, side: int, node: Node) -> None:
        self._names[side].pop(_below(node.path, self._roots[side]), None)

    def _of_equal_content(self, found: list[Node], expected: list[Node]) -> tuple[list[Pair], list[Node], list[Node]]:
        here, there = self._roots
        if len(found) == len(expected) == 1:
            same = _below(found[0].path, here) == _below(expected[0].path, there)
            alone = "lone-shape" if found[0].count == 1 else "shape"
            return [(found[0], expected[0], "forced", "name" if same else alone)], [], []
        if len(found) != len(expected):
            return self._by_equal_names(found, expected)
        found, expected = (sorted(side, key=lambda node: node.first) for side in (found, expected))
        places, grade, evidence = self._matching.assigned(found, expected, here, there, moved=self._moved)
        if places is None:
            self._matching.choices.append(_choice(found, expected, evidence))
            for side, nodes in enumerate((found, expected)):
                for node in nodes:
                    self._forget(side, node)
            return [], [], []
        return [(node, expected[place], grade, evidence) for node, place in zip(found, places, strict=True)], [], []

    def _by_equal_names(self, found: list[Node], expected: list[Node]) -> tuple[list[Pair], list[Node], list[Node]]:
        """Pairs what has one name on both sides; of the rest nobody knows which is too many."""
        here, there = self._roots
        theirs = {_below(node.path, there): node for node in expected}
        pairs: list[Pair] = []
        left = []
        for node in found:
            other = theirs.pop(_below(node.path, here), None)
            if other is None:
                left.append(node)
            else:
                pairs.append((node, other, "forced", "name"))
        if left and theirs:
            self._matching.choices.append(_choice(left, list(theirs.values()), "there are more of them on one side"))
            return pairs, [], []
        return pairs, left, list(theirs.values())

    def _without_counterpart(self, side: int, node: Node) -> Iterator[Pair]:
        """Matches a module with one of other content, or opens it."""
        name = _below(node.path, self._roots[side])
        if self._names[side].pop(name, None) is None:
            return  # matched in between, from the other side
        other = self._names[1 - side].get(name)
        if other is None or not _alike(node, other):
            other = (
                None if any(child.digest in self._sides[1 - side] for child in node.children) else self._resembling(side, node)
            )
        if other is not None:
            self._forget(1 - side, other)
            _remove(self._sides[1 - side], other)
            yield (node, other, "forced", "name") if side == 0 else (other, node, "forced", "name")
            return
        for child in node.children:
            self._add(side, child)

    def _resembling(self, side: int, node: Node) -> Node | None:
        """Returns the one module on the other side that shares most shapes with this one, and with no other shares more."""
        here, there = list(self._names[side].values()), list(self._names[1 - side].values())
        if not node.children or not 0 < len(there) <= NEIGHBOURS_LIMIT or len(here) > NEIGHBOURS_LIMIT:
            return None
        best = _best(node, there)
        return best if best is not None and _best(best, [node, *here]) is node else None


def _choice(found: list[Node], expected: list[Node], why: str) -> Choice:
    here, there = (tuple(node.path for node in side) for side in (found, expected))
    return Choice(here, there, why, sum(node.count for node in expected))


def _remove(side: dict[int, list[Node]], node: Node) -> None:
    nodes = side.get(node.digest)
    if nodes and node in nodes:
        nodes.remove(node)
        if not nodes:
            del side[node.digest]


def _common(a: Node, b: Node) -> float:
    if not a.children or not b.children or not MOSTLY <= a.count / max(b.count, 1) <= 1 / MOSTLY:
        return 0.0
    ours, theirs = Counter(t.shape for t in a.leaves()), Counter(t.shape for t in b.leaves())
    return (ours & theirs).total() / max(a.count, b.count)


def _alike(a: Node, b: Node) -> bool:
    return _common(a, b) > MOSTLY


def _best(node: Node, others: list[Node]) -> Node | None:
    """Returns the only other module that shares the most shapes, None where none shares enough or two share as many."""
    rows = sorted(((_common(node, other), number) for number, other in enumerate(others)), reverse=True)
    if not rows or rows[0][0] <= MOSTLY or (len(rows) > 1 and rows[1][0] == rows[0][0]):
        return None
    return others[rows[0][1]]


# --- equal modules


def _decided(found: tuple[str, ...], expected: tuple[str, ...], *, moved: bool) -> tuple[list[int] | None, Grade, str]:
    """Returns which of some equal modules is which, by their names in the order of their sides.

    One that remains when all others are told apart needs no name.
    """
    if len(found) == 1:
        return [0], "forced", "shape"
    place = {name: number for number, name in enumerate(expected)}
    if set(found) == set(expected):
        return [place[name] for name in found], "forced", "name"
    by_number = _by_number(found, expected)
    shared = set(found) & set(expected)
    if by_number is not None:
        moved = moved or _stretched(found, expected)
        if not moved and any(expected[number] != name for name, number in zip(found, by_number, strict=True) if name in shared):
            return None, "likely", "the same numbers stand on both sides, and nothing shows that they moved"
        return by_number, "forced", "number"
    if shared:
        rest, others = (tuple(name for name in side if name not in shared) for side in (found, expected))
        places, grade, evidence = _decided(rest, others, moved=moved)
        if places is None:
            return None, grade, evidence
        place.update({name: place[others[number]] for name, number in zip(rest, places, strict=True)})
        return [place[name] for name in found], grade, evidence
    if _are_counted_otherwise(found, expected):
        return None, "likely", "they have numbers, and not the same ones on both sides"
    by_name, sure = resembling(found, expected)
    if by_name is not None:
        return by_name, "forced" if sure else "likely", "similar-name"
    return None, "likely", "equal shapes under names that tell nothing"


def _moved(found: list[Node], expected: list[Node], here: str, there: str) -> bool:
    """Whether shapes that only one module on each side has show that names went from one module to another."""
    ours, theirs = (Counter(node.digest for node in side) for side in (found, expected))
    old = {node.digest: _below(node.path, here) for node in found if ours[node.digest] == theirs[node.digest] == 1}
    new = {node.digest: _below(node.path, there) for node in expected if node.digest in old}
    held = {_below(node.path, here) for node in found} & {_below(node.path, there) for node in expected}
    return any(new[digest] != name and not held.isdisjoint((name, new[digest])) for digest, name in old.items())


def _stretched(found: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    """Whether both sides are evenly spaced, not alike, and keeping the numbers that agree would leave many unexplained."""
    steps = []
    for side in (found, expected):
        numbers = sorted(int(_NUMBER.findall(name)[-1][:18]) for name in side)
        steps.append({after - before for before, after in pairwise(numbers)})
    unexplained = len(set(found) - set(expected))
    return len(steps[0]) == len(steps[1]) == 1 and steps[0] != steps[1] and unexplained >= SEVERAL


def _are_counted_otherwise(found: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    """Whether names go by numbers that differ between the sides, so that equal numbers do not stand for equal modules."""
    ours, theirs = (sorted(number for name in side for number in _NUMBER.findall(name)[-1:]) for side in (found, expected))
    return len(ours) == len(theirs) == len(found) and len(set(ours)) == len(ours) and ours != theirs


def _by_number(found: tuple[str, ...], expected: tuple[str, ...]) -> list[int] | None:
    """Returns the pairing by rank where the names of each side differ in their numbers alone."""
    if any(len({_NUMBER.sub("#", name) for name in side}) != 1 or not _NUMBER.search(side[0]) for side in (found, expected)):
        return None
    rank = {name: number for number, name in enumerate(sorted(found, key=natural_order))}
    order = sorted(range(len(expected)), key=lambda number: natural_order(expected[number]))
    return [order[rank[name]] for name in found]
