"""Which affixes separate the keys of a file from the model's: a prefix in front of all, or parts between the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from intact.alignment.places import DRESSED_UP
from intact.core.description import Description
from intact.core.keys import leaf_of, natural_order, owner_of, tokens_of
from intact.core.tensor import TensorInfo

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

SAMPLE = 4096
"""From how many keys prefixes are learned; only those that stand in front of half of the keys are used."""


_Tensors = Mapping[str, TensorInfo]


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
    least = max(1.0, 0.5 * smaller)
    if max((option.same_shapes for option in options), default=0) < smaller:  # else nothing between the parts can do better
        alone = len(extra) == len(found.tensors) and len(missing) == len(expected.tensors)
        moved = alone and all(len({key.partition(".")[0] for key in side}) == 1 for side in (extra, missing))
        sides = (_by_owner(extra), _by_owner(missing))
        tokens = _inner_tokens(sides, found, expected, least)
        options += [_without_tokens(dropped, sides, extra, missing, found, renaming=moved) for dropped in tokens]
    if not any(option.pairs for option in options):
        options += [_without_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(extra, missing)]
        options += [_with_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(missing, extra)]
    options = [option for option in options if option.same_shapes >= least]
    best = max((option.same_shapes for option in options), default=0)
    if not options:
        return _wrapper_around_all(extra, missing, found)
    top = [option for option in options if option.same_shapes == best]
    simplest = min((option.inside for option in top), default=False)
    return tuple({option.pairs: option for option in top if option.inside == simplest}.values())


def named_prefix(name: str, found: Description, expected: Description) -> Affix:
    """Returns what stands behind a name that the user gave, as it is without it; everything else is left aside.

    Args:
        name: What the keys start with, up to a dot.
        found: What the container holds, without nesting.
        expected: What the model wants.
    """
    below = {key: key[len(name) + 1 :] for key in found.tensors if key.startswith(f"{name}.") and len(key) > len(name) + 1}
    pairs = tuple((key, new) for key, new in below.items() if new in expected.tensors)
    also = tuple((key, new) for key, new in below.items() if new not in expected.tensors)
    aside = tuple(key for key in found.tensors if key not in below)
    same = _same_shapes(pairs, found.tensors, expected.tensors)
    return Affix(pairs, (f"{name}.",), (), False, aside, same, also)


def _wrapper_around_all(
    extra: Mapping[str, TensorInfo], missing: Mapping[str, TensorInfo], found: Description
) -> tuple[Affix, ...]:
    """The name of a wrapper that stands in front of every key, and is one whatever else the keys differ in."""
    first = {key.partition(".")[0] for key in found.tensors}
    if len(first) != 1 or len(extra) != len(found.tensors) or not first <= WRAPPERS:
        return ()
    (name,) = first
    return (_without_prefix(f"{name}.", extra, missing, found),)


def _front_prefixes(long: Mapping[str, TensorInfo], short: Mapping[str, TensorInfo], most: int = 8) -> list[str]:
    """Prefixes of keys in `long` behind which a key of `short` stands, the most frequent first."""
    votes: Counter[str] = Counter()
    keys: Iterable[str] = long
    if len(short) > SAMPLE and SAMPLE < len(long) < 8 * len(short):  # a prefix of many keys is one of many among a few
        keys = Random(0).sample(list(long), SAMPLE)  # noqa: S311 - the same every time, nothing secret
    for key in keys:
        place, tensor = key.find("."), long[key]
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
    sides: tuple[_Owners, _Owners], found: Description, expected: Description, least: float
) -> list[frozenset[str]]:
    """Sets of tokens whose removal may make so many keys agree: those of one side alone, wrappers of both, and both of these."""
    of_file, of_model = map(_module_names, sides)
    anywhere_file, anywhere_model = (_module_names(map(owner_of, side.tensors)) | _leaves(side) for side in (found, expected))
    alone = [{name for name in names if not name.isdecimal()} for names in (of_file - anywhere_model, of_model - anywhere_file)]
    single = alone[0] | alone[1]
    wrappers = (of_file | of_model) & WRAPPERS
    sets = [frozenset(wrappers), frozenset(single - WRAPPERS), frozenset(single | wrappers)]
    return [
        tokens
        for tokens in dict.fromkeys(sets)
        if tokens and all(_free_of(names - tokens, side) >= least for names, side in zip(alone, sides, strict=True))
    ]


def _free_of(names: set[str], owners: _Owners) -> int:
    """How many keys have none of some names, which the other side has nowhere."""
    return sum(len(tensors) for owner, tensors in owners.items() if not names or names.isdisjoint(tokens_of(owner)))


def _module_names(owners: Iterable[str]) -> set[str]:
    return {name for owner in set(owners) if owner for name in tokens_of(owner)}


def _leaves(side: Description) -> set[str]:
    return set(map(leaf_of, side.tensors))


_Owners = Mapping[str, Mapping[str, str]]
"""Path of a module to its tensors: last name to key."""


def _by_owner(keys: Iterable[str]) -> _Owners:
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for key in keys:
        owner, _, leaf = key.rpartition(".")
        owners[owner][leaf] = key
    return owners


def _without_tokens(
    dropped: frozenset[str],
    sides: tuple[_Owners, _Owners],
    extra: _Tensors,
    missing: _Tensors,
    found: Description,
    *,
    renaming: bool,
) -> Affix:
    """What becomes equal without these tokens.

    A name in the place of another (`actor` where the model has `critic`) is an affix only where it stands in front of all keys,
    and the whole model moved with it; beside keys that agree it is another part, or a renamed one: not for this to say.
    """
    here, there = (_reduced(side, dropped) for side in sides)
    names = frozenset() if renaming else dropped - WRAPPERS
    pairs: list[tuple[str, str]] = []
    lost: set[str] = set()
    gained: set[str] = set()
    for front, (ours, tensors) in here.items():
        theirs, others = there.get(front, (ours, {}))
        if not names.isdisjoint(ours) and not names.isdisjoint(theirs):
            continue
        added = [(key, others[leaf]) for leaf, key in tensors.items() if leaf in others]
        if added:
            pairs += added
            lost |= ours
            gained |= theirs
    rest = {key: new for front, (_, ts) in here.items() for leaf, key in ts.items() if (new := front + leaf) != key}
    also = () if gained else _without_collisions(rest, tuple(pairs), found)
    same = _same_shapes(pairs, extra, missing)
    return Affix(tuple(pairs), tuple(sorted(lost)), tuple(sorted(gained)), True, (), same, also)


def _reduced(owners: _Owners, dropped: frozenset[str]) -> dict[str, tuple[frozenset[str], Mapping[str, str]]]:
    """What is left in front of the last names, with the names that were dropped; what two keys become is left out."""
    known: dict[str, tuple[str, frozenset[str]]] = {"": ("", frozenset())}
    result: dict[str, tuple[frozenset[str], Mapping[str, str]]] = {}
    clashing: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for owner, tensors in owners.items():
        front, lost = known.get(owner) or _front(owner, dropped, known)
        if first.setdefault(front, owner) == owner:
            result[front] = (lost, tensors)
        else:
            clashing.setdefault(front, [first[front]]).append(owner)
    for front, paths in clashing.items():
        counted = Counter(leaf for path in paths for leaf in owners[path])
        single = {leaf: key for path in paths for leaf, key in owners[path].items() if counted[leaf] == 1}
        result[front] = (frozenset().union(*(known[path][1] for path in paths)), single)
    return result


def _front(path: str, dropped: frozenset[str], known: dict[str, tuple[str, frozenset[str]]]) -> tuple[str, frozenset[str]]:
    """A path without the dropped names, and which of them it had; kept for the modules within."""
    unknown = []
    while path not in known:
        unknown.append(path)
        path = path.rpartition(".")[0]
    front, lost = known[path]
    for longer in reversed(unknown):
        name = longer.rpartition(".")[2]
        front, lost = (front, lost | {name}) if name in dropped else (f"{front}{name}.", lost)
        known[longer] = (front, lost)
    return front, lost
