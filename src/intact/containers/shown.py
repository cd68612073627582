"""Text from files, made fit for a message: one line, printable, of bounded length.

A key or a name in a hostile file may be a hundred megabytes long or steer a terminal. Ordinary ones come out as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_CHARACTERS = 200
"""Characters of a text from a file that an error or a description repeats."""


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Returns a text as a message may repeat it; what is cut off is counted."""
    cut = text[:limit]
    line = cut if cut.isprintable() else "".join(character if character.isprintable() else " " for character in cut)
    return line if len(text) <= limit else f"{line}… ({len(text):,} characters)"


def listed(names: Iterable[str], limit: int = 3) -> str:
    """Returns the first names in backticks and a count of the rest."""
    every = list(names)
    first = ", ".join(f"`{shown(name)}`" for name in every[:limit])
    return first if len(every) <= limit else f"{first} and {len(every) - limit:,} more"


def shown_list(names: Iterable[str], limit: int = 50) -> list[str]:
    """Returns the first names as evidence lists them."""
    return [shown(name) for name, _ in zip(names, range(limit), strict=False)]
