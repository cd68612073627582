"""Which part of a file is the model, and which affixes separate its keys from the model's.

Both questions are answered by counting: how many of the model's tensors (by name and shape, or by last name and shape where the
names are dressed up) a place or an affix accounts for. Where two answers count the same, both are returned, and nobody chooses
but the user; only copies that say themselves that they are averages stand behind the raw weights.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from intact.core.description import Description
from intact.core.keys import leaf_of, natural_order, tokens_of
from intact.core.tensor import TensorInfo
from intact.repairs.unnest import relative

DRESSED_UP = 0.9
"""What a tensor that agrees in last name and shape alone is worth, beside 1 for one that agrees in its whole key."""

EQUAL_MERIT = 0.98
"""Share of the best score from which on a place counts as good as the best."""

LEAST_SHARE = 0.3
"""Share of the smaller side that the best place must account for; below it no place is the model."""

WRAPPERS = frozenset(
    {
        "module",
        "_orig_mod",
        "_wrapped_module",
        "_forward_module",
        "_fsdp_wrapped_module",
        "_fpw_module",
        "_checkpoint_wrapped_module",
    }
)
"""Names under which torch, FSDP, fairscale and Lightning keep the module that they wrap."""

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
        at: The place that the user named, which is then taken.
    """
    places = _places(found)
    if at is not None:
        return Placing(at, (at,), aside=_deeper(places, at, expected)) if at in places else None
    wanted = Counter((leaf_of(key), tensor.shape) for key, tensor in expected.tensors.items())
    score = {place: _score(place, held, expected, wanted) for place, held in places.items()}
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


def _score(place: str, held: Iterable[TensorInfo], expected: Description, wanted: Counter[tuple[str, tuple[int, ...]]]) -> float:
    exact = 0
    dressed: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for tensor in held:
        key = relative(tensor.key, place) or ""
        goal = expected.tensors.get(key)
        if goal is not None and (goal.shape == tensor.shape or goal.lazy):
            exact += 1
        dressed[(leaf_of(key), tensor.shape)] += 1
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


@dataclass(frozen=True, slots=True)
class Affix:
    """One way in which keys of the file differ from the model's by what stands before or between their parts.

    Attributes:
        pairs: Key found and key expected, one to one.
        removed: Prefix or tokens that the file has and the model has not.
        added: Prefix or tokens that the model has and the file has not.
        inside: Whether they stand between the parts of the keys, rather than in front of all.
        aside: Keys of the file that do not stand under the removed prefix and are not the model's.
        same_shapes: How many pairs agree in shape.
        also: Further keys of the file that have the affix, and what they are without it: nothing that the model misses.
    """

    pairs: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    inside: bool
    aside: tuple[str, ...] = ()
    same_shapes: int = 0
    also: tuple[tuple[str, str], ...] = ()


def find_affixes(found: Description, expected: Description) -> tuple[Affix, ...]:
    """Returns the affixes that account for the most missing keys; several where they fit equally well, () where none does."""
    missing = {key: tensor for key, tensor in expected.tensors.items() if key not in found.tensors}
    extra = {key: found.tensors[key] for key in sorted(found.tensors) if key not in expected.tensors}
    if not missing or not extra:
        return ()
    options = [_without_prefix(prefix, extra, missing, found) for prefix in _front_prefixes(extra, missing)]
    options += [_with_prefix(prefix, extra, missing, found) for prefix in _front_prefixes(missing, extra)]
    smaller = min(len(extra), len(missing))
    if max((option.same_shapes for option in options), default=0) < smaller:  # else nothing between the parts can do better
        alone = len(extra) == len(found.tensors) and len(missing) == len(expected.tensors)
        tokens = _inner_tokens(extra, missing, found, expected)
        options += [_without_tokens(dropped, extra, missing, found, renaming=alone) for dropped in tokens]
    if not any(option.pairs for option in options):
        options += [_without_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(extra, missing)]
        options += [_with_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(missing, extra)]
    least = max(1.0, 0.5 * smaller)
    options = [option for option in options if option.same_shapes >= least]
    best = max((option.same_shapes for option in options), default=0)
    top = [option for option in options if option.same_shapes == best]
    simplest = min((option.inside for option in top), default=False)
    return tuple({option.pairs: option for option in top if option.inside == simplest}.values())


def _front_prefixes(long: Mapping[str, TensorInfo], short: Mapping[str, TensorInfo], most: int = 8) -> list[str]:
    """Prefixes of keys in `long` behind which a key of `short` stands, the most frequent first."""
    votes: Counter[str] = Counter()
    for key, tensor in long.items():
        place = key.find(".")
        while place >= 0:
            other = short.get(key[place + 1 :])
            if other is not None:
                votes[key[: place + 1]] += 2 if other.shape == tensor.shape else 1
            place = key.find(".", place + 1)
    return [prefix for prefix, _ in sorted(votes.items(), key=lambda row: (-row[1], natural_order(row[0])))[:most]]


def _undotted_prefixes(long: Mapping[str, TensorInfo], short: Mapping[str, TensorInfo], sample: int = 32) -> list[str]:
    """Prefixes that do not end at a dot (`net_conv1.weight`), learned from the longest keys, which fit by accident least."""
    votes: Counter[str] = Counter()
    for goal in sorted(short, key=lambda key: (-len(key), natural_order(key)))[:sample]:
        votes.update({key[: -len(goal)] for key in long if key.endswith(goal) and len(key) > len(goal)})
    return [prefix for prefix, _ in sorted(votes.items(), key=lambda row: (-row[1], natural_order(row[0])))[:8]]


def _without_prefix(prefix: str, extra: Mapping[str, TensorInfo], missing: Mapping[str, TensorInfo], found: Description) -> Affix:
    pairs = tuple((prefix + key, key) for key in missing if prefix + key in extra)
    whole = len(pairs) >= DRESSED_UP * len(missing) and all(key in extra for key in found.tensors)
    aside = tuple(key for key in extra if not key.startswith(prefix)) if whole else ()
    rest = {key: key[len(prefix) :] for key in extra if key.startswith(prefix) and len(key) > len(prefix)}
    also = _without_collisions(rest, pairs, found)
    return Affix(pairs, (prefix,), (), False, aside, _same_shapes(pairs, extra, missing), also)


def _without_collisions(
    rest: Mapping[str, str], pairs: tuple[tuple[str, str], ...], found: Description
) -> tuple[tuple[str, str], ...]:
    """Further renames that, together with the pairs, give no two tensors one key."""
    paired, taken = {key for key, _ in pairs}, {key for _, key in pairs}
    further = {key: new for key, new in rest.items() if key not in paired and new not in taken}
    while clashing := [k for k, new in further.items() if new in found.tensors and new not in further and new not in paired]:
        for key in clashing:
            del further[key]
    return tuple(further.items())


def _with_prefix(prefix: str, extra: Mapping[str, TensorInfo], missing: Mapping[str, TensorInfo], found: Description) -> Affix:
    pairs = tuple((key[len(prefix) :], key) for key in missing if key.startswith(prefix) and key[len(prefix) :] in extra)
    also = _without_collisions({key: prefix + key for key in extra}, pairs, found)
    return Affix(pairs, (), (prefix,), False, (), _same_shapes(pairs, extra, missing), also)


def _same_shapes(pairs: Iterable[tuple[str, str]], extra: Mapping[str, TensorInfo], missing: Mapping[str, TensorInfo]) -> int:
    return sum(extra[a].shape == missing[b].shape or missing[b].lazy for a, b in pairs)


def _inner_tokens(
    extra: Mapping[str, TensorInfo], missing: Mapping[str, TensorInfo], found: Description, expected: Description
) -> list[frozenset[str]]:
    """Sets of tokens whose removal may make keys agree: those of one side alone, wrappers of both, and the two together."""
    of_file = {token for key in extra for token in tokens_of(key)[:-1]}
    of_model = {token for key in missing for token in tokens_of(key)[:-1]}
    anywhere_file = {token for key in found.tensors for token in tokens_of(key)}
    anywhere_model = {token for key in expected.tensors for token in tokens_of(key)}
    single = {t for t in (of_file - anywhere_model) | (of_model - anywhere_file) if not t.isdecimal()}
    wrappers = (of_file | of_model) & WRAPPERS
    sets = [frozenset(wrappers), frozenset(single - WRAPPERS), frozenset(single | wrappers)]
    return [tokens for tokens in dict.fromkeys(sets) if tokens]


def _without_tokens(
    dropped: frozenset[str],
    extra: Mapping[str, TensorInfo],
    missing: Mapping[str, TensorInfo],
    found: Description,
    *,
    renaming: bool,
) -> Affix:
    """What becomes equal without these tokens.

    A name in the place of another (`actor` where the model has `critic`) is an affix only where no key agrees and the whole model
    moved with it; beside keys that agree it is another part, or a renamed one, and that is not for this to say.
    """
    here, there = _reduced(extra, dropped), _reduced(missing, dropped)
    candidates = ((keys[0], there[core][0]) for core, keys in here.items() if len(keys) == 1 and len(there.get(core, ())) == 1)
    names = dropped - WRAPPERS
    pairs = tuple((a, b) for a, b in candidates if renaming or names.isdisjoint(tokens_of(a)) or names.isdisjoint(tokens_of(b)))
    lost = Counter(token for key, _ in pairs for token in tokens_of(key)[:-1] if token in dropped)
    gained = Counter(token for _, key in pairs for token in tokens_of(key)[:-1] if token in dropped)
    rest = {keys[0]: core for core, keys in here.items() if len(keys) == 1 and keys[0] != core}
    also = () if gained else _without_collisions(rest, pairs, found)
    return Affix(pairs, tuple(sorted(lost)), tuple(sorted(gained)), True, (), _same_shapes(pairs, extra, missing), also)


def _reduced(tensors: Mapping[str, TensorInfo], dropped: frozenset[str]) -> dict[str, list[str]]:
    cores: dict[str, list[str]] = defaultdict(list)
    for key in tensors:
        *path, leaf = tokens_of(key)
        cores[".".join([*(token for token in path if token not in dropped), leaf])].append(key)
    return cores
