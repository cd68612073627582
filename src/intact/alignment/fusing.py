"""Which tensors of one side are parts of a tensor of the other: put side by side, or stacked.

A whole and its parts stand at the same place: what the keys of the parts have in common is where the whole stands. The parts of a
whole have one kind of name each (`q_proj.weight`, `k_proj.weight`), and numbers among them are an order of their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intact.core.keys import natural_order
from intact.core.tensor import TensorInfo

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")
_WORDS = re.compile(r"[a-z]+\d?")

ORDERS: tuple[tuple[frozenset[str], ...], ...] = tuple(
    tuple(frozenset(names.split()) for names in row)
    for row in (
        ("q query queries wq qproj", "k key keys wk kproj", "v value values wv vproj"),
        ("k key keys wk kproj", "v value values wv vproj"),
        ("gate w1 gated", "up w3"),
    )
)
"""Parts that are put side by side, in the order in which everybody does it (torch `MultiheadAttention`, transformers)."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """One tensor of one side and its parts on the other.

    Attributes:
        whole: Its key.
        parts: For each number (one where there are none) the parts in their order.
        stacked: Whether the numbers are a dimension of their own.
        ordered: What tells the order of the parts within a number: `one` part only, their `names`, or nothing (``).
    """

    whole: str
    parts: tuple[tuple[str, ...], ...]
    stacked: bool
    ordered: str


def find_fusions(wholes: Mapping[str, TensorInfo], parts: Mapping[str, TensorInfo]) -> list[Fusion]:
    """Returns which tensors are made of which others.

    Args:
        wholes: Tensors of one side without a counterpart.
        parts: Tensors of the other side without a counterpart.
    """
    below = _by_place(parts.values())
    used: set[str] = set()
    grouped: dict[str, tuple[int, list[_Group]]] = {}
    fusions = []
    for key, whole in wholes.items():
        place = key
        while place:
            place = place.rpartition(".")[0]
            if len(below.get(place, ())) < 2:
                continue
            if place not in grouped or grouped[place][0] != len(used):
                near = [tensor for tensor in below[place] if tensor.key not in used]
                grouped[place] = (len(used), _groups(place, near))
            found = _fusion(key, whole, place, grouped[place][1])
            if found is not None:
                used.update(part for row in found.parts for part in row)
                fusions.append(found)
                break
    return fusions


def _by_place(tensors: Iterable[TensorInfo]) -> dict[str, list[TensorInfo]]:
    """Every tensor under each of the four modules around it."""
    below: dict[str, list[TensorInfo]] = defaultdict(list)
    for tensor in tensors:
        place = tensor.key
        for _ in range(4):
            place = place.rpartition(".")[0]
            below[place].append(tensor)
            if not place:
                break
    return below


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbours that may be the parts of one tensor.

    Attributes:
        leaf: The last name of all of them.
        name: What they are called but for numbers; "" where that is not what they have in common.
        tensors: The neighbours.
        elements: Of all of them together: what is made of them has as many.
    """

    leaf: str
    name: str
    tensors: list[TensorInfo]
    elements: int


def _fusion(key: str, whole: TensorInfo, place: str, groups: list[_Group]) -> Fusion | None:
    """The parts of one whole among its neighbours: by names that tell their order, else all neighbours that fit."""
    fitting = [group for group in groups if group.elements == whole.elements]
    for candidates in _preferred(key, place, fitting):
        rows: dict[str, list[str]] = defaultdict(list)
        shapes = {tensor.key: tensor.shape for tensor in candidates}
        for part in shapes:
            number = _NUMBER.findall(part[len(place) :])
            rows[".".join(number)].append(part)
        ordered = [_in_order(row, place) for _, row in sorted(rows.items(), key=lambda item: natural_order(item[0]))]
        names, told = [row for row, _ in ordered], {how for _, how in ordered}
        if len({len(row) for row in names}) != 1 or len(told) != 1 or ("" in rows and len(rows) > 1):
            continue
        stacked = "" not in rows
        if _made(names, shapes, stacked=stacked) == whole.shape and len({tensor.dtype for tensor in candidates}) == 1:
            return Fusion(key, tuple(map(tuple, names)), stacked, told.pop())
        if (
            stacked
            and len(names) > 1
            and len(names[0]) == 1
            and _made([[r[0] for r in names]], shapes, stacked=False) == whole.shape
        ):
            return Fusion(key, (tuple(row[0] for row in names),), False, "names")
    return None


def _groups(place: str, near: list[TensorInfo]) -> list[_Group]:
    """Groups of neighbours of one leaf name: with the words of an order, of one name but for numbers, and all of them."""
    leaves: dict[str, list[TensorInfo]] = defaultdict(list)
    for tensor in near:
        leaves[tensor.key.rpartition(".")[2]].append(tensor)
    groups: list[tuple[str, str, list[TensorInfo]]] = []
    for leaf, members in leaves.items():
        groups += [(leaf, "", [t for t in members if any(_says(t.key[len(place) :], words) for words in row)]) for row in ORDERS]
        by_name: dict[str, list[TensorInfo]] = defaultdict(list)
        for tensor in members:
            by_name[_NUMBER.sub("#", tensor.key[len(place) :])].append(tensor)
        groups += [(leaf, group[0].key[len(place) :], group) for group in by_name.values()]
        groups.append((leaf, "", members))
    return [_Group(leaf, name, ts, sum(t.elements for t in ts)) for leaf, name, ts in groups if len(ts) > 1]


def _preferred(key: str, place: str, groups: list[_Group]) -> list[list[TensorInfo]]:
    """Those that may be parts of a tensor of this name, leaf by leaf; of equal ones those that are called like it first."""
    wanted = _WORDS.findall(key[len(place) :].lower())
    kept = [g for g in groups if g.leaf not in ("weight", "bias") or not ({"weight", "bias"} & set(wanted)) - {g.leaf}]
    result: list[list[TensorInfo]] = []
    for leaf in dict.fromkeys(group.leaf for group in kept):
        mine = [group for group in kept if group.leaf == leaf]
        named = sorted((group for group in mine if group.name), key=lambda group: not _named_alike(group.name, wanted))
        first = [group for group in mine if not group.name]
        result += [group.tensors for group in (*first[:-1], *named, *first[-1:])]
    return result


def _named_alike(name: str, wanted: list[str]) -> bool:
    return bool(set(_WORDS.findall(name.lower())) & set(wanted) - {"weight", "bias", "experts", "expert"})


def _says(name: str, words: frozenset[str]) -> bool:
    return any(word in words for word in re.split(r"[._]", name.lower())) or any(
        word in words for word in _WORDS.findall(name.lower().replace("_proj", ""))
    )


def _in_order(parts: list[str], place: str) -> tuple[list[str], str]:
    """Parts in the order that their names tell, and what told it."""
    if len(parts) == 1:
        return parts, "one"
    for row in ORDERS:
        slots = [[part for part in parts if _says(part[len(place) :], words)] for words in row]
        if len(parts) == len(row) and all(len(slot) == 1 for slot in slots):
            return [slot[0] for slot in slots], "names"
    return parts, ""


def _made(rows: list[list[str]], shapes: Mapping[str, tuple[int, ...]], *, stacked: bool) -> tuple[int, ...] | None:
    made = set()
    for row in rows:
        inner = [shapes[part] for part in row]
        if not all(inner) or len({shape[1:] for shape in inner}) != 1:
            return None
        made.add((sum(shape[0] for shape in inner), *inner[0][1:]))
    if len(made) != 1:
        return None
    (shape,) = made
    return (len(rows), *shape) if stacked else shape
