"""Layers that stand under numbers: which numbers each side has under one path, and what every layer holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from intact.core.keys import owner_of
from intact.core.rule import Facts
from intact.core.tensor import TensorInfo

_INDEX = re.compile(r"(?:^|\.)(\d+)\.")

Layers = dict[int, dict[str, tuple[int, ...]]]
"""Index to what a layer holds: rest of the key to shape."""


@dataclass(frozen=True, slots=True)
class Family:
    """Numbered layers under one path, on both sides."""

    path: str
    found: Layers
    expected: Layers

    @property
    def shared(self) -> list[int]:
        """Indices that both sides have."""
        return sorted(set(self.found) & set(self.expected))

    @property
    def only_found(self) -> list[int]:
        """Indices that the file alone has."""
        return sorted(set(self.found) - set(self.expected))

    @property
    def only_expected(self) -> list[int]:
        """Indices that the model alone has."""
        return sorted(set(self.expected) - set(self.found))


@lru_cache(maxsize=4)
def families(facts: Facts) -> tuple[Family, ...]:
    """Returns the outermost numbered families whose indices are not the same on both sides; kept for the rules that ask next."""
    numbers = [_numbers(side.tensors) for side in (facts.found, facts.expected)]
    uneven = {path for path in numbers[0].keys() & numbers[1].keys() if numbers[0][path] != numbers[1][path]}
    if not uneven:
        return ()
    owners = {owner_of(d.key) for d in facts.differences if d.kind in ("missing", "unexpected")}
    touched = uneven & {path for owner in owners for path, _, _ in splits(f"{owner}.")}
    found, expected = _layers(facts.found.tensors, touched), _layers(facts.expected.tensors, touched)
    both = [Family(path, found[path], expected[path]) for path in sorted(set(found) & set(expected))]
    unequal = [family for family in both if set(family.found) != set(family.expected)]
    return tuple(f for f in unequal if not any(_contains(outer, f) for outer in unequal))


def _numbers(keys: Iterable[str]) -> dict[str, set[int]]:
    """Which numbers stand under which path, among the modules that own some keys."""
    numbers: dict[str, set[int]] = defaultdict(set)
    known = {""}
    for path in {owner_of(key) for key in keys}:
        while path not in known:
            known.add(path)
            outer, _, name = path.rpartition(".")
            if name.isdecimal() and len(name) < 10:
                numbers[outer].add(int(name))
            path = outer
    return numbers


def splits(key: str) -> Iterator[tuple[str, int, str]]:
    """Yields path, index and rest for every number among the parts of a key."""
    for match in _INDEX.finditer(key):
        if len(match[1]) < 10:
            yield key[: match.start(1)].rstrip("."), int(match[1]), key[match.end() :]


def _contains(outer: Family, inner: Family) -> bool:
    """Whether the inner family stands in a layer that only one side has."""
    if outer is inner or not inner.path.startswith(f"{outer.path}."):
        return False
    index = inner.path[len(outer.path) + 1 :].split(".")[0]
    return index.isdecimal() and (int(index) in outer.found) != (int(index) in outer.expected)


def _layers(tensors: Mapping[str, TensorInfo], touched: set[str]) -> dict[str, Layers]:
    layers: dict[str, Layers] = defaultdict(lambda: defaultdict(dict))
    places: dict[str, list[tuple[str, int, str]]] = {}
    for key, tensor in tensors.items():
        owner, dot, leaf = key.rpartition(".")
        found = places.get(owner)
        if found is None:
            found = places[owner] = [row for row in splits(owner + dot) if row[0] in touched]
        for path, index, rest in found:
            layers[path][index][rest + leaf] = tensor.shape
    return layers
