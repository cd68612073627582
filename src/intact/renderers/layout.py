"""Rows of text: a label, what it says, where continuation lines begin, and which style a terminal that has colours gives it.

Only here is known that rich draws the colours; it is imported when there are colours to draw, because a piped command must not
wait for it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

NARROWEST = 40
"""Columns below which lines are not broken any further: a terminal that narrow breaks them itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line, or several where it is too long for the terminal.

    Attributes:
        text: What it says.
        label: What stands before it, spaces included.
        hang: Column where continuation lines begin.
        style: Style of the label (`bold red`); of the text where there is no label.
        whole: Whether it is kept on one line, because columns are aligned in it.
    """

    text: str = ""
    label: str = ""
    hang: int = 0
    style: str = ""
    whole: bool = False


def drawn(rows: Iterable[Row], width: int | None, color: bool) -> str:
    """Returns the rows as text.

    Args:
        rows: In order.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    if not color:
        return "\n".join(line for row in rows for line in _lines(row, width))
    return _painted(rows, width)


def _lines(row: Row, width: int | None) -> list[str]:
    text = row.label + row.text
    if row.whole or width is None or len(text) <= width:
        return [text.rstrip()]
    lines = textwrap.wrap(
        row.text,
        max(width, NARROWEST),
        initial_indent=row.label,
        subsequent_indent=" " * row.hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [row.label.rstrip()]


def _painted(rows: Iterable[Row], width: int | None) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.text import Text

    stream = StringIO()
    console = Console(
        file=stream, force_terminal=True, color_system="standard", no_color=False, width=100_000, legacy_windows=False
    )
    for row in rows:
        for number, line in enumerate(_lines(row, width)):
            cut = len(line) if not row.label else len(row.label) if number == 0 else 0
            console.print(Text.assemble((line[:cut], row.style), line[cut:]), soft_wrap=True, highlight=False)
    return stream.getvalue().removesuffix("\n")
