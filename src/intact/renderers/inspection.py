"""What a checkpoint holds, for `intact inspect`: tensors in exact groups, ties, entries that are no tensors, foreign objects.

It answers "what is this file?" for somebody who may know nothing of it; nothing is compared and no tensor byte was read. Text is
limited to what fits a few screens unless everything is asked for; the JSON form is complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from intact.core.description import Description, Extra
from intact.core.grouping import Group, group_keys
from intact.core.report import Report
from intact.core.tensor import TensorInfo
from intact.core.wording import count, shape_text
from intact.renderers.head import bytes_text, distinct, head_rows, labelled
from intact.renderers.layout import Row, drawn
from intact.renderers.places import places_of
from intact.renderers.text import finding_rows
from intact.renderers.tree import tree_rows
from intact.renderers.words import LONGEST_NAME, cells, clean, name, padded, shorten, size_text

MOST_GROUPS = 60
"""Groups of tensors in all; several places share them, and each shows at least `FEWEST_GROUPS`."""

FEWEST_GROUPS = 12
MOST_ENTRIES = 20
MOST_TIES = 12


def render(report: Report, *, everything: bool = False, tree: bool = False, width: int | None = None, color: bool = False) -> str:
    """Returns what a checkpoint holds, as text.

    Args:
        report: Of `intact.inspect`.
        everything: Whether to list every key and every entry, without groups and limits.
        tree: Whether to show modules as a tree in place of tensors as a table.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    return drawn(_rows(report, everything, tree, width), width, color)


def to_dict(report: Report) -> dict[str, Any]:
    """Returns the report as plain data, with everything that the checkpoint holds under `found`."""
    found = report.found
    return {
        **report.to_dict(),
        "found": {
            "tensors": [_tensor_to_dict(tensor) for tensor in found.tensors.values()],
            "ties": [list(group) for group in found.ties],
            "extras": [{"path": e.path, "kind": e.kind, "text": e.text} for e in found.extras],
            "foreign": [{"name": f.name, "count": f.count, "called": f.called, "position": f.position} for f in found.foreign],
            "modules": [
                {"path": m.path, "class": m.class_name, "hyperparameters": dict(m.hyperparameters), "children": list(m.children)}
                for m in found.modules.values()
            ],
            "extra_state": list(found.extra_state),
            "metadata": dict(found.metadata),
        },
    }


def _tensor_to_dict(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "key": tensor.key,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": tensor.size_bytes,
        "role": tensor.role,
        "layout": tensor.layout,
        "nest": tensor.nest,
        "device": tensor.device,
    }


def _rows(report: Report, everything: bool, tree: bool, width: int | None) -> Iterator[Row]:
    found = report.found
    yield from head_rows(report)
    yield from _summary(found)
    if tree:
        yield Row()
        yield from tree_rows(found, everything=everything, width=width)
        yield from _ties(found, everything)
    else:
        yield from _tensors(found, everything, width)
        yield from _ties(found, everything)
        yield from _classes(found)
        yield from _entries(found.extras, everything)
        yield from _foreign(found, everything)
    for finding in report.findings:
        yield Row()
        yield from finding_rows(finding, width)


def _summary(found: Description) -> Iterator[Row]:
    """Yields the totals by dtype, and the devices where they are not the CPU."""
    tensors = distinct(found)
    dtypes = Counter(tensor.dtype for tensor in tensors)
    if dtypes:
        parts = [f"{name(d)} {n:,} ({bytes_text(t for t in tensors if t.dtype == d)})" for d, n in dtypes.most_common(8)]
        yield labelled("dtypes", ", ".join(parts) + (f" and {len(dtypes) - 8} more" if len(dtypes) > 8 else ""))
    devices = Counter(tensor.device for tensor in tensors)
    if set(devices) - {"cpu"}:
        parts = [f"{name(device)} ({count(n, 'tensor')})" for device, n in devices.most_common(8)]
        yield labelled("saved on", ", ".join(parts) + (f" and {len(devices) - 8} more" if len(devices) > 8 else ""))


def _tensors(found: Description, everything: bool, width: int | None) -> Iterator[Row]:
    places = places_of(found)
    if places and set(places) != {""}:
        yield from _places(places)
    limit = MOST_GROUPS if len(places) == 1 else max(FEWEST_GROUPS, MOST_GROUPS // max(1, len(places)))
    for tensors in places.values():
        yield Row()
        yield from _table(tensors, None if everything else limit, width)


def _places(places: dict[str, list[TensorInfo]]) -> Iterator[Row]:
    yield Row()
    labels = {place: name(place, 60) if place else "(top)" for place in places}
    column = max((cells(label) for label in labels.values()), default=0)
    for place, tensors in places.items():
        yield Row(f"{count(len(tensors), 'tensor')}, {bytes_text(tensors)}", f"{padded(labels[place], column)}  ", 2, "bold")


def _table(tensors: Sequence[TensorInfo], limit: int | None, width: int | None) -> Iterator[Row]:
    """Yields tensors with dtype, shape and size; `limit` groups of equal ones, or each by itself where there is no limit."""
    known = {tensor.key: tensor for tensor in tensors}
    groups = [Group((key,), (), (), key) for key in known]
    if limit is not None:
        groups = list(group_keys({key: (t.dtype, t.shape, t.layout) for key, t in known.items()}, leaves=True))
    shown = groups[:limit]
    facts = [_facts(known[group.first]) for group in shown]
    fact_column = min(max(map(cells, facts)), 60)
    most = LONGEST_NAME if width is None else max(24, min(LONGEST_NAME, width - fact_column - 22))
    keys = [name(group.text(), most) or "(top)" for group in shown]
    column = max(map(cells, keys))
    for group, key, fact in zip(shown, keys, facts, strict=True):
        size = size_text(known[group.first].size_bytes)
        times = f"{group.count:,} x {size}" if group.count > 1 else size
        yield Row(f"  {padded(key, column)}  {padded(fact, fact_column)}  {times}", whole=True)
    if len(shown) < len(groups):
        rest = sum(group.count for group in groups[len(shown) :])
        yield Row(f"  and {count(rest, 'more tensor')}, --all-keys shows them")


def _facts(tensor: TensorInfo) -> str:
    layout = "" if tensor.layout == "strided" else f"{name(tensor.layout)} "
    return f"{layout}{name(tensor.dtype)} {shorten(shape_text(tensor.shape))}"


def _ties(found: Description, everything: bool) -> Iterator[Row]:
    if not found.ties:
        return
    yield Row()
    yield Row("one tensor under several keys", style="bold")
    shown = found.ties if everything else found.ties[:MOST_TIES]
    for group in shown:
        keys = [name(key, 64) for key in (group if everything else group[:4])]
        yield Row("  " + " = ".join(keys) + (f" = {len(group) - len(keys):,} more" if len(group) > len(keys) else ""), hang=4)
    if len(shown) < len(found.ties):
        yield Row(f"  and {len(found.ties) - len(shown):,} more, --all-keys shows them")


def _classes(found: Description) -> Iterator[Row]:
    """Yields the classes of pickled modules, the author's own before those of torch."""
    if not found.modules:
        return
    classes = Counter(module.class_name for module in found.modules.values())
    ordered = sorted(classes.items(), key=lambda row: (row[0].startswith("torch.nn."), -row[1]))
    yield Row()
    yield Row(
        f"pickled modules: {count(len(found.modules), 'module')} of {count(len(classes), 'class', 'classes')}", style="bold"
    )
    for class_name, number in ordered[:MOST_ENTRIES]:
        yield Row(f"  {name(class_name)}" + (f"  {number:,} times" if number > 1 else ""), hang=4)
    if len(ordered) > MOST_ENTRIES:
        yield Row(f"  and {len(ordered) - MOST_ENTRIES:,} more")


def _entries(extras: Sequence[Extra], everything: bool) -> Iterator[Row]:
    """Yields the entries that are no tensors; many under one name as one line, unless everything is asked for."""
    if not extras:
        return
    yield Row()
    yield Row("other entries", style="bold")
    rows = [(extra.path, _value(extra)) for extra in extras]
    if not everything and len(rows) > MOST_ENTRIES:
        rows = list(_summed(extras))
    shown = rows if everything else rows[:MOST_ENTRIES]
    names = [name(path) if path else "(top)" for path, _ in shown]
    column = min(max(map(cells, names)), 48)
    for label, (_, value) in zip(names, shown, strict=True):
        yield Row(value, f"  {padded(label, column)}  ", column + 4)
    if len(shown) < len(rows):
        yield Row(f"  and {len(rows) - len(shown):,} more, --all-keys shows them")


def _summed(extras: Iterable[Extra]) -> Iterator[tuple[str, str]]:
    families: dict[str, list[Extra]] = {}
    for extra in extras:
        top = min((extra.path.index(mark) for mark in ".[" if mark in extra.path[1:]), default=len(extra.path))
        families.setdefault(extra.path[:top] or extra.path, []).append(extra)
    for family, members in families.items():
        if len(members) < 4:
            yield from ((extra.path, _value(extra)) for extra in members)
        else:
            first = members[0]
            yield family, f"{len(members):,} entries, the first {name(first.path, 48)} = {_value(first)}"


def _value(extra: Extra) -> str:
    text = shorten(clean(extra.text[:400]), LONGEST_NAME)
    return f"object of {text}" if extra.kind == "object" else text or f"({name(extra.kind)})"


def _foreign(found: Description, everything: bool) -> Iterator[Row]:
    if not found.foreign:
        return
    yield Row()
    yield Row("names that the pickle refers to beyond tensors and plain data; none was imported or run", style="bold", hang=2)
    shown = found.foreign if everything else found.foreign[:MOST_ENTRIES]
    column = min(max(cells(name(foreign.name)) for foreign in shown), 64)
    for foreign in shown:
        use = "unpickling calls it" if foreign.called else "referred to"
        times = f", {foreign.count:,} times" if foreign.count > 1 else ""
        yield Row(f"  {padded(name(foreign.name), column)}  {use}{times}", whole=True)
    if len(shown) < len(found.foreign):
        yield Row(f"  and {len(found.foreign) - len(shown):,} more, --all-keys shows them")
