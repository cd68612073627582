"""Which part of a file is the model.

Answered by counting: how many of the model's tensors (by name and shape, or by last name and shape where the names are dressed
up) a place accounts for. Where two places count the same, both are returned, and nobody chooses but the user; only copies that
say themselves that they are averages stand behind the raw weights.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from intact.core.description import Description
from intact.core.keys import leaf_of, natural_order
from intact.core.tensor import TensorInfo
from intact.repairs.unnest import relative

DRESSED_UP = 0.9
"""What a tensor that agrees in last name and shape alone is worth, beside 1 for one that agrees in its whole key."""

EQUAL_MERIT = 0.98
"""Share of the best score from which on a place counts as good as the best."""

LEAST_SHARE = 0.3
"""Share of the smaller side that the best place must account for; below it no place is the model."""

AVERAGED = re.compile(r"(?:^|[._\[\]-])(?i:ema|swa|avg|averaged|shadow|polyak)(?:$|[._\[\]-]|\d)|[a-z](?:EMA|Ema|SWA|Swa)$")


def says_averaged(name: str) -> bool:
    """Tells whether a name says that it holds averaged weights (`ema`, `state_dict_ema`, `swa_model`)."""
    return AVERAGED.search(name) is not None


@dataclass(frozen=True, slots=True)
class Placing:
    """Where in a nested checkpoint the model lies.

    Attributes:
        at: The chosen place; None where several are as good and the user has to choose.
        candidates: All places of equal merit, in natural order.
        averaged: Those of them that say that they hold averages and were passed over for that.
        aside: Keys under the chosen place that belong to something nested deeper and not to the model.
    """

    at: str | None
    candidates: tuple[str, ...]
    averaged: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


def find_place(found: Description, expected: Description, at: str | None = None) -> Placing | None:
    """Returns where the model lies in a checkpoint that has places, or None where no place fits.

    Args:
        found: What the container holds.
        expected: What the model wants.
        at: What the user named: a place, which is then taken, or a place and what keys below it start with.
    """
    places = _places(found)
    named = named_place(found, at, places) if at is not None else None
    if at is not None and named is None:
        return None
    if named is not None and named[0] is not None:
        return Placing(named[0], (named[0],), aside=_deeper(places, named[0], expected))
    wanted = Counter((leaf_of(key), tensor.shape) for key, tensor in expected.tensors.items())
    marks = {key: (leaf_of(key), tensor.shape) for key, tensor in found.tensors.items()}
    score = {place: _score(place, held, expected, wanted, marks) for place, held in places.items()}
    best = max(score.values(), default=0.0)
    if best < LEAST_SHARE * min(len(expected.tensors), max(map(len, places.values()), default=0)) or best == 0:
        return _heaviest(places)
    good = [place for place, points in score.items() if points >= EQUAL_MERIT * best]
    deepest = [p for p in good if not any(other != p and relative(other, p) is not None for other in good)]
    deepest.sort(key=natural_order)
    raw = [place for place in deepest if not says_averaged(place)]
    averaged = tuple(place for place in deepest if says_averaged(place)) if raw else ()
    chosen = _different(raw or deepest, found, places)
    if len(chosen) > 1:
        return Placing(None, tuple(chosen), averaged)
    return Placing(chosen[0], tuple(chosen), averaged, _deeper(places, chosen[0], expected))


def named_place(found: Description, at: str, places: Collection[str] | None = None) -> tuple[str | None, str] | None:
    """Returns what the user named: a place of the file, and what the keys below it start with.

    The place is None where only keys were named (`netA`, of `state_dict`); the start is "" where a place was named. None where
    there is nothing of that name.
    """
    places = _places(found) if places is None else places
    if at in places:
        return at, ""
    if any(key.startswith((f"{at}.", f"{at}_")) for key in found.tensors):
        above = max((place for place in places if not place or at.startswith(place + ".")), key=len, default="")
        return above, relative(at, above) or at
    if any(key[len(t.nest) :].startswith((f".{at}.", f".{at}_")) for key, t in found.tensors.items() if t.nest):
        return None, at
    return None


def _different(chosen: list[str], found: Description, places: Mapping[str, list[TensorInfo]]) -> list[str]:
    """The places that hold other memory than a place before them: of two names for the same tensors either will do."""
    if len(chosen) < 2:
        return chosen
    memory = {key: group[0] for group in found.ties for key in group}
    contents = {place: frozenset((relative(t.key, place), memory.get(t.key, t.key)) for t in places[place]) for place in chosen}
    shortest = {contents[place]: place for place in sorted(chosen, key=len, reverse=True)}
    return [place for place in chosen if shortest[contents[place]] == place]


def _places(found: Description) -> dict[str, list[TensorInfo]]:
    places: dict[str, list[TensorInfo]] = defaultdict(list)
    ancestors: dict[str, tuple[str, ...]] = {}
    for tensor in found.tensors.values():
        if tensor.nest not in ancestors:
            ancestors[tensor.nest] = tuple(_ancestors(tensor.nest))
        for place in ancestors[tensor.nest]:
            places[place].append(tensor)
    return places


def _ancestors(nest: str) -> Iterator[str]:
    yield ""
    if nest:
        for match in re.finditer(r"[.\[]", nest):
            if match.start():
                yield nest[: match.start()]
        yield nest


_Mark = tuple[str, tuple[int, ...]]
"""The last name of a tensor, and its shape."""


def _score(
    place: str, held: list[TensorInfo], expected: Description, wanted: Counter[_Mark], marks: Mapping[str, _Mark]
) -> float:
    exact = 0
    for tensor in held:
        goal = expected.tensors.get(relative(tensor.key, place) or "")
        if goal is not None and (goal.shape == tensor.shape or goal.lazy):
            exact += 1
    dressed = Counter([marks[tensor.key] for tensor in held])
    alike = sum(min(number, wanted[mark]) for mark, number in dressed.items() if mark in wanted)
    return exact + DRESSED_UP * max(0, alike - exact)


def _heaviest(places: Mapping[str, list[TensorInfo]]) -> Placing | None:
    """The place that directly holds most of the bytes: where a person would look first."""
    direct = {place: sum(t.size_bytes for t in held if t.nest == place) for place, held in places.items()}
    total = sum(direct.values())
    place = max(direct, key=lambda name: direct[name], default="")
    return Placing(place, (place,)) if total and direct[place] > total / 2 else None


def _deeper(places: Mapping[str, list[TensorInfo]], at: str, expected: Description) -> tuple[str, ...]:
    """Keys nested below the place that are not the model's, where what stands in it directly is the model."""
    held = places[at]
    direct = sum(tensor.nest == at for tensor in held)
    deep = [tensor.key for tensor in held if tensor.nest != at and (relative(tensor.key, at) or "") not in expected.tensors]
    return tuple(deep) if direct >= len(held) - len(deep) and direct else ()
