"""Which tensors of one side are parts of a tensor of the other: put side by side, or stacked.

A whole and its parts stand at the same place: what the keys of the parts have in common is where the whole stands. The parts of a
whole have one kind of name each (`q_proj.weight`, `k_proj.weight`), and numbers among them are an order of their own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from intact.core.keys import natural_order
from intact.core.tensor import TensorInfo

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")
_WORDS = re.compile(r"[a-z]+\d?")
_LEAVES = frozenset({"weight", "bias"})
_DEPTH = 8

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
        named: Whether names say that they belong together, and not sizes alone.
    """

    whole: str
    parts: tuple[tuple[str, ...], ...]
    stacked: bool
    ordered: str
    named: bool = True


def find_fusions(wholes: Mapping[str, TensorInfo], parts: Mapping[str, TensorInfo]) -> list[Fusion]:
    """Returns which tensors are made of which others.

    What is called alike is matched first, and what only fits by its size last. Where two wholes fit the same parts as well, or
    one whole other parts, nothing tells which is meant, and none of them is returned.

    Args:
        wholes: Tensors of one side without a counterpart.
        parts: Tensors of the other side without a counterpart.
    """
    below = _by_place(parts.values())
    used: set[str] = set()
    fusions: dict[str, Fusion] = {}
    for kinship in _KINSHIPS:
        grouped: dict[str, dict[int, list[_Group]]] = {}
        offers: dict[str, list[Fusion]] = {}
        for key, whole in wholes.items():
            place = key if key not in fusions else ""
            while place and key not in offers:
                place = place.rpartition(".")[0]
                if len(below.get(place, ())) < 2:
                    continue
                if place not in grouped:
                    grouped[place] = _groups(place, [tensor for tensor in below[place] if tensor.key not in used])
                if found := _offers(key, whole, place, grouped[place].get(whole.elements, []), kinship):
                    offers[key] = found
        asked = Counter(part for found in offers.values() for part in {part for fusion in found for part in _flat(fusion)})
        for key, found in offers.items():
            if len(found) == 1 and all(asked[part] == 1 for part in _flat(found[0])):
                fusions[key] = found[0]
                used.update(_flat(found[0]))
    return [fusions[key] for key in wholes if key in fusions]


def _flat(fusion: Fusion) -> list[str]:
    return [part for row in fusion.parts for part in row]


def _by_place(tensors: Iterable[TensorInfo]) -> dict[str, list[TensorInfo]]:
    """Every tensor under each of the modules around it."""
    below: dict[str, list[TensorInfo]] = defaultdict(list)
    for tensor in tensors:
        place = tensor.key
        for _ in range(_DEPTH):
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
        ordered: Whether their names are those of an order that everybody keeps.
    """

    leaf: str
    name: str
    tensors: list[TensorInfo]
    elements: int
    ordered: bool


_Kinship = Callable[[_Group, str, set[str]], int]


def _offers(key: str, whole: TensorInfo, place: str, groups: list[_Group], kinship: _Kinship) -> list[Fusion]:
    """The parts of one whole among its neighbours, in every way that its name makes equally likely."""
    rest = key[len(place) :]
    wanted = set(_WORDS.findall(rest.lower()))
    leaves = wanted & _LEAVES
    scored: dict[int, dict[tuple[tuple[str, ...], ...], Fusion]] = {}
    for group in groups:
        if group.leaf in _LEAVES and leaves - {group.leaf}:
            continue
        score = kinship(group, rest, wanted)
        found = _fusion(key, whole, place, group.tensors) if score else None
        if found is not None:
            named = kinship is not _any_name or _are_of_one_list(group, rest)
            scored.setdefault(score, {})[found.parts] = replace(found, named=named)
    return list(scored[max(scored)].values()) if scored else []


def _fusion(key: str, whole: TensorInfo, place: str, candidates: list[TensorInfo]) -> Fusion | None:
    """The whole made of exactly these, if they make it up."""
    rows: dict[str, list[str]] = defaultdict(list)
    shapes = {tensor.key: tensor.shape for tensor in candidates}
    for part in shapes:
        number = _NUMBER.findall(part[len(place) :])
        rows[".".join(number)].append(part)
    ordered = [_in_order(row, place) for _, row in sorted(rows.items(), key=lambda item: natural_order(item[0]))]
    names, told = [row for row, _ in ordered], {how for _, how in ordered}
    if len({len(row) for row in names}) != 1 or len(told) != 1 or ("" in rows and len(rows) > 1):
        return None
    if len({tensor.dtype for tensor in candidates}) != 1:
        return None
    stacked = "" not in rows
    if _made(names, shapes, stacked=stacked) == whole.shape:
        return Fusion(key, tuple(map(tuple, names)), stacked, told.pop())
    if stacked and len(names) > 1 and len(names[0]) == 1 and _made([[r[0] for r in names]], shapes, stacked=False) == whole.shape:
        return Fusion(key, (tuple(row[0] for row in names),), False, "names")
    return None


def _groups(place: str, near: list[TensorInfo]) -> dict[int, list[_Group]]:
    """Groups of neighbours of one leaf name by how many elements they have together.

    They are those with the words of an order, of one name but for numbers, and all of them.
    """
    leaves: dict[str, list[TensorInfo]] = defaultdict(list)
    for tensor in near:
        leaves[tensor.key.rpartition(".")[2]].append(tensor)
    groups: list[_Group] = []
    for leaf, members in leaves.items():
        for row in ORDERS:
            slots = [[t for t in members if _says(t.key[len(place) :], words)] for words in row]
            if all(slots):
                inside = {t.key for slot in slots for t in slot}
                groups.append(_group(leaf, "", [t for t in members if t.key in inside], ordered=True))
        by_name: dict[str, list[TensorInfo]] = defaultdict(list)
        for tensor in members:
            by_name[_NUMBER.sub("#", tensor.key[len(place) :])].append(tensor)
        groups += [_group(leaf, name, group, ordered=False) for name, group in by_name.items()]
        groups.append(_group(leaf, "", members, ordered=False))
    sized: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        if len(group.tensors) > 1:
            sized[group.elements].append(group)
    return sized


def _group(leaf: str, name: str, tensors: list[TensorInfo], *, ordered: bool) -> _Group:
    return _Group(leaf, name, tensors, sum(tensor.elements for tensor in tensors), ordered)


def _same_name(group: _Group, rest: str, wanted: set[str]) -> int:  # noqa: ARG001 - one signature for all
    """Whether the parts are called like the whole but for their number."""
    return bool(group.name) and _unnumbered(group.name) == _unnumbered(rest)


def _one_order(group: _Group, rest: str, wanted: set[str]) -> int:  # noqa: ARG001 - one signature for all
    """Whether the names of the parts are those of an order that everybody keeps."""
    return group.ordered


def _shared_words(group: _Group, rest: str, wanted: set[str]) -> int:  # noqa: ARG001 - one signature for all
    """How many words the names have in common."""
    return len(set(_WORDS.findall(group.name.lower())) & wanted - _LEAVES - {"experts", "expert"})


def _any_name(group: _Group, rest: str, wanted: set[str]) -> int:  # noqa: ARG001 - one signature for all
    """Whatever they are called: those of one name but for numbers before all that stand there."""
    return 2 if group.name else 1


def _are_of_one_list(group: _Group, rest: str) -> bool:
    """Whether whole and parts stand in a list of one name: there the parts of one kind are all that the whole can be made of."""
    whole, parts = _unnumbered(rest).split("."), _unnumbered(group.name).split(".")
    if len(whole) > 2 and len(parts) > 2:
        return whole[-2] == parts[-2]
    return len(whole) == 2 and group.name.startswith(".#.")


_KINSHIPS: tuple[_Kinship, ...] = (_same_name, _one_order, _shared_words, _any_name)
"""What makes parts likely, the strongest reason first: each gives a score, 0 for none."""


def _unnumbered(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "#" and not part.isdecimal()).removesuffix(".weight")


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
