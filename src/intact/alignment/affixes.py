"""Which affixes separate the keys of a file from the model's: a prefix in front of all, or parts between the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intact.alignment.places import DRESSED_UP
from intact.core.description import Description
from intact.core.keys import natural_order, tokens_of
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
        tokens = _inner_tokens(extra, missing, found, expected)
        alone = len(extra) == len(found.tensors) and len(missing) == len(expected.tensors)
        moved = alone and all(len({key.partition(".")[0] for key in side}) == 1 for side in (extra, missing))
        options += [_without_tokens(dropped, extra, missing, found, renaming=moved) for dropped in tokens]
    if not any(option.pairs for option in options):
        options += [_without_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(extra, missing)]
        options += [_with_prefix(prefix, extra, missing, found) for prefix in _undotted_prefixes(missing, extra)]
    least = max(1.0, 0.5 * smaller)
    options = [option for option in options if option.same_shapes >= least]
    best = max((option.same_shapes for option in options), default=0)
    if not options:
        return _wrapper_around_all(extra, missing, found)
    top = [option for option in options if option.same_shapes == best]
    simplest = min((option.inside for option in top), default=False)
    return tuple({option.pairs: option for option in top if option.inside == simplest}.values())


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

    A name in the place of another (`actor` where the model has `critic`) is an affix only where it stands in front of all keys,
    and the whole model moved with it; beside keys that agree it is another part, or a renamed one: not for this to say.
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
    fronts: dict[str, str] = {}
    for key in tensors:
        owner, dot, leaf = key.rpartition(".")
        front = fronts.get(owner)
        if front is None:
            front = fronts[owner] = "".join([f"{token}." for token in tokens_of(owner) if token not in dropped]) if dot else ""
        cores[front + leaf].append(key)
    return cores
