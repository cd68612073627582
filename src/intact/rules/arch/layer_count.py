"""File and model have different numbers of layers.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, example
from intact.numbering import Family, Layers, families, splits
from intact.repairs.drop import Drop
from intact.repairs.keep import Keep

CODE = "arch/layer-count"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the numbered families that are longer on one side, layers of the same make being on both."""
    marks = {d.mark for d in facts.differences if d.kind != "dtype"}
    unequal = families(facts)
    plain = [family for family in unequal if _same_make(family)]
    moved = [family for family in unequal if family not in plain and _shifted(family)]
    if plain:
        yield from _plain(facts, plain, marks)
    for family in moved:
        yield _moved(facts, family, marks)


def _same_make(family: Family) -> bool:
    """Whether the layers on both sides agree, and the longer side only adds layers with the names of those."""
    shared = family.shared
    if not shared or any(family.found[i] != family.expected[i] for i in shared):
        return False
    if family.only_found and family.only_expected:
        return False
    longer = family.found if family.only_found else family.expected
    kinds = {frozenset(longer[i]) for i in shared}
    return all(frozenset(longer[i]) in kinds for i in family.only_found or family.only_expected)


def _shifted(family: Family) -> bool:
    """Whether a layer that disagrees on the one side stands at another index on the other, so that layers moved."""
    shorter, longer = (family.expected, family.found) if family.only_found else (family.found, family.expected)
    if family.only_found and family.only_expected:
        return False
    odd = [i for i in family.shared if shorter[i] != longer[i]]
    return bool(odd) and all(any(longer[j] == shorter[i] for j in longer if j > i) for i in odd)


def _numbers(listed: list[Family]) -> str:
    rows = [f"`{family.path}` has {len(family.found):,} and the model {len(family.expected):,}" for family in listed]
    return "; ".join(rows[:3]) + (f"; and {len(rows) - 3} more" if len(rows) > 3 else "")


def _evidence(listed: list[Family]) -> dict[str, dict[str, object]]:
    return {
        f.path: {
            "found": len(f.found), "expected": len(f.expected), "only_found": f.only_found, "only_expected": f.only_expected
        }
        for f in listed
    }  # fmt: skip


def _plain(facts: Facts, listed: list[Family], marks: set[tuple[str, str]]) -> Iterator[Finding]:
    fresh = [k for f in listed for k in _keys(f.path, f.expected, f.only_expected) if ("missing", k) in marks]
    spare = [k for f in listed for k in _keys(f.path, f.found, f.only_found) if ("unexpected", k) in marks]
    expected, found = facts.expected.tensors, facts.found.tensors
    shorter = [family for family in listed if family.only_expected]
    longer = [family for family in listed if family.only_found]
    if fresh:
        yield Finding(
            CODE,
            "error",
            f"the file has fewer layers than the model: {_numbers(shorter)}",
            tuple(fresh),
            _evidence(shorter),
            tuple(example(None, expected[key]) for key in fresh[:3]),
            "the model is built with more layers than the one that was saved",
            by_permission(CODE, f"{len(fresh):,} tensors keep the model's fresh values"),
            Keep(tuple((key, expected[key].dtype, expected[key].shape) for key in fresh)),
            frozenset(("missing", key) for key in fresh),
        )
    if spare:
        yield Finding(
            CODE,
            "error",
            f"the file has more layers than the model: {_numbers(longer)}",
            tuple(spare),
            _evidence(longer),
            tuple(example(found[key], None) for key in spare[:3]),
            "the model is built with fewer layers than the one that was saved",
            by_permission(CODE, f"{len(spare):,} tensors of the file are not used"),
            Drop(tuple(spare)),
            frozenset(("unexpected", key) for key in spare),
        )


def _keys(path: str, layers: Layers, indices: list[int]) -> list[str]:
    return [f"{path}.{index}.{rest}" if path else f"{index}.{rest}" for index in indices for rest in layers[index]]


def _moved(facts: Facts, family: Family, marks: set[tuple[str, str]]) -> Finding:
    inside = [m for m in sorted(marks) if any(path == family.path for path, _, _ in splits(m[1]))]
    keys = tuple(dict.fromkeys(key for _, key in inside))
    side = "fewer" if len(family.found) < len(family.expected) else "more"
    return Finding(
        CODE,
        "error",
        f"the file has {side} layers than the model, and which is not told: {_numbers([family])}",
        keys,
        _evidence([family]),
        tuple(example(facts.found.tensors.get(key), facts.expected.tensors.get(key)) for key in keys[:3]),
        "positions are the names here: a layer was added or taken out, everything behind it moved, and layers of one shape "
        "cannot be told apart",
        "build the model with the layers that were saved, or copy the layers by hand: names and shapes do not say which is which",
        None,
        frozenset(inside),
        ambiguous=True,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
