"""The figures of every tensor as a table: how many values are special, and how the others are spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from intact.core.description import Description
from intact.core.statistics import Statistics
from intact.core.wording import count
from intact.renderers.layout import Row, drawn
from intact.renderers.words import cells, name, padded

_HEADS = ("", "minimum", "", "maximum", "mean", "std", "zeros", "")
_HEIGHTS = "▁▂▃▄▅▆▇█"
_COLUMNS = 12


def render(found: Description, values: Mapping[str, Statistics], *, width: int | None = None, color: bool = False) -> str:
    """Returns the table.

    Args:
        found: The tensors, in order.
        values: Their figures.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    return drawn(_rows(found, values), width, color)


def to_dict(row: Statistics) -> dict[str, float | int | str | None]:
    """Returns the figures of one tensor as plain data; what is no number is None."""
    figures = {field: getattr(row, field) for field in ("minimum", "maximum", "mean", "std")}
    counts = {field: getattr(row, field) for field in ("elements", "nan", "positive_inf", "negative_inf", "zeros", "denormal")}
    counts |= {field: getattr(row, field) for field in ("constant_rows", "zero_blocks", "repeated_blocks")}
    numbers = {field: value if value == value else None for field, value in figures.items()}
    return {**counts, **numbers, "fits": row.fits or None, "histogram": list(row.histogram), "digest": row.digest}


def _rows(found: Description, values: Mapping[str, Statistics]) -> Iterator[Row]:
    table = [_cells(key, values[key]) for key in found.tensors if key in values]
    if not table:
        yield Row("no values to look at", "  ", 2)
        return
    widths = [max(cells(row[place]) for row in (_HEADS, *table)) for place in range(len(_HEADS))]
    yield Row("  " + "  ".join(padded(head, size) for head, size in zip(_HEADS, widths, strict=True)), whole=True, style="dim")
    for row in table:
        special = row[-1]
        text = "  ".join(padded(cell, size) for cell, size in zip(row[1:], widths[1:], strict=True))
        yield Row(
            text.rstrip(),
            f"  {padded(row[0], widths[0])}  ",
            whole=True,
            style="red" if "nan" in special or "inf" in special else "",
        )
    left = len(found.tensors) - len(table)
    if left:
        yield Row(f"and {left:,} of other layouts", "  ", 2, "dim")


def _cells(key: str, row: Statistics) -> tuple[str, ...]:
    figures = [f"{value:.4g}" if value == value else "-" for value in (row.minimum, row.maximum, row.mean, row.std)]
    figures.insert(1, _line(row.histogram))
    zeros = f"{row.zeros / row.elements:.1%}" if row.zeros and row.elements else "-"
    special = [
        f"{number:,} {what}"
        for number, what in (
            (row.nan, "nan"),
            (row.positive_inf, "inf"),
            (row.negative_inf, "-inf"),
            (row.denormal, "denormal"),
        )
        if number
    ]
    special += [f"all {row.fits} numbers"] if row.fits else []
    if row.minimum != row.maximum:  # else one value says it all
        special += [count(row.constant_rows, "row") + " of one value"] if row.constant_rows else []
        special += [count(row.zero_blocks, "block") + " of zeros"] if row.zero_blocks else []
        special += [count(row.repeated_blocks, "block") + " twice"] if row.repeated_blocks else []
    return (name(key), *figures, zeros, ", ".join(special))


def _line(histogram: tuple[int, ...]) -> str:
    """The shape of a distribution from minimum to maximum, one sign for two steps; blank where there is nothing."""
    pairs = [sum(histogram[at : at + 2]) for at in range(0, len(histogram), len(histogram) // _COLUMNS or 1)]
    most = max(pairs, default=0)
    return "".join(_HEIGHTS[(number * 8 - 1) // most] if number else " " for number in pairs)
