"""Two checkpoints side by side, as text: one line where they are the same, and else what moved, most first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from intact.core.wording import count, shape_text
from intact.renderers.layout import Row, drawn
from intact.renderers.words import clean, container_text, name, shorten, size_text

_MOST = 10
_BARS = "▏▎▍▌▋▊▉█"
_WIDTH = 24


def render(data: Mapping[str, Any], *, everything: bool = False, width: int | None = None, color: bool = False) -> str:
    """Returns a comparison as text.

    Args:
        data: As `Diff.to_dict` gives it.
        everything: Whether to list all keys in place of the first ones.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    return drawn(_rows(data, None if everything else _MOST), width, color)


def verdict(data: Mapping[str, Any]) -> str:
    """Returns the comparison in one line."""
    tensors = data["tensors"]
    if data["same_weights"]:
        dtypes = sum(tensor["likeness"] == "exact" for tensor in tensors)
        names = f", {len(data['renamed']):,} under other names" if data["renamed"] else ""
        cast = f", {dtypes:,} in another dtype" if dtypes else ""
        return f"these are the same weights: {count(len(tensors), 'tensor')}{names}{cast}"
    likeness = Counter(tensor["likeness"] for tensor in tensors)
    words = {
        "equal": "equal",
        "exact": "the same numbers in another dtype",
        "rounded": "within rounding",
        "different": "different",
        "unread": "not compared",
    }
    parts = [f"{likeness[kind]:,} {said}" for kind, said in words.items() if likeness[kind]]
    for field, said in (("added", "added"), ("removed", "removed"), ("reshaped", "of another shape")):
        if data[field]:
            parts.append(f"{len(data[field]):,} {said}")
    return "different weights: " + (", ".join(parts) or "no tensor in common")


def _rows(data: Mapping[str, Any], limit: int | None) -> Iterator[Row]:
    for side in ("first", "second"):
        source = data[side]
        yield Row(
            f"{container_text(source['container'])}, {size_text(source['size_bytes'])}", f"{clean(source['path'])}: ", 2, "bold"
        )
    yield Row()
    yield Row(verdict(data), "", 2, "bold green" if data["same_weights"] else "bold yellow")
    yield from _moved(data["tensors"], limit)
    for field, said in (("added", "only in the second"), ("removed", "only in the first")):
        yield from _listed(said, [name(key) for key in data[field]], limit)
    yield from _listed("renamed", [f"{name(a)} → {name(b)}" for a, b in data["renamed"].items()], limit)
    yield from _listed(
        "of another shape", [f"{name(k)}  {shape_text(a)} → {shape_text(b)}" for k, (a, b) in data["reshaped"].items()], limit
    )
    extras = data["extras"]
    changed = [f"{name(path)}  {shorten(clean(a), 60)} → {shorten(clean(b), 60)}" for path, (a, b) in extras["changed"].items()]
    yield from _listed("other entries that changed", changed, limit)
    yield from _listed("other entries only in the second", [name(path) for path in extras["added"]], limit)
    yield from _listed("other entries only in the first", [name(path) for path in extras["removed"]], limit)


def _moved(tensors: Sequence[Mapping[str, Any]], limit: int | None) -> Iterator[Row]:
    changed = sorted((t for t in tensors if t["likeness"] in ("rounded", "different")), key=lambda t: -t["relative"])
    if not changed:
        return
    yield Row()
    yield Row(f"{count(len(changed), 'tensor')} moved, by the length of the change over the length of the weight", "  ", 2, "dim")
    yield from _histogram([tensor["relative"] for tensor in changed])
    yield Row()
    shown = changed if limit is None else changed[:limit]
    names = max(len(name(tensor["key"])) for tensor in shown)
    for tensor in shown:
        rounding = f"  rounded to {tensor['rounding']}" if tensor["rounding"] else ""
        share = f"{tensor['changed']:,} of {tensor['elements']:,} values"
        yield Row(
            f"{_percent(tensor['relative']):>9}  {share}, at most {tensor['largest']:.3g}{rounding}",
            f"  {name(tensor['key']):{names}}",
            4,
            whole=True,
        )
    if len(changed) > len(shown):
        yield Row(f"and {len(changed) - len(shown):,} more; --all lists them", "  ", 4, "dim")


def _histogram(values: Sequence[float]) -> Iterator[Row]:
    """One bar for each power of ten."""
    decades = Counter(max(-12, min(1, math.floor(math.log10(value)))) if 0 < value < math.inf else 1 for value in values)
    most = max(decades.values())
    for decade in range(max(decades), min(decades) - 1, -1):
        filled = decades[decade] * _WIDTH * 8 // most
        bar = "█" * (filled // 8) + (_BARS[filled % 8 - 1] if filled % 8 else "")
        bar = bar or ("▏" if decades[decade] else "")
        label = "1 and more" if decade >= 0 else f"1e{decade:+03d}"
        yield Row(f"{bar} {decades[decade]:,}" if decades[decade] else "", f"    {label:>10} ", whole=True, style="dim")


def _percent(value: float) -> str:
    if not math.isfinite(value):
        return "from zero"
    return f"{value:.2%}" if value >= 1e-4 else f"{value:.1e}"


def _listed(title: str, rows: Sequence[str], limit: int | None) -> Iterator[Row]:
    if not rows:
        return
    yield Row()
    yield Row(f"{title}: {len(rows):,}", "", 2, "bold")
    for row in rows if limit is None else rows[:limit]:
        yield Row(row, "  ", 4)
    if limit is not None and len(rows) > limit:
        yield Row(f"and {len(rows) - limit:,} more; --all lists them", "  ", 4, "dim")
