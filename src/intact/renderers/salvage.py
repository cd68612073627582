"""What was salvaged, as text: how much is whole and by what proof, and every key that is not, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from intact.core.judged import Judged
from intact.core.wording import count
from intact.renderers.layout import Row, drawn
from intact.renderers.words import clean, name, shorten, size_text

PROOFS = {
    "digest": "by the digests that were sealed with it",
    "crc32": "by the CRC-32 of its record",
    "extent": "in extent, and without a sign of damage; the file keeps no checksum of it",
}
_MOST_KEYS = 20
"""Keys of one state that are printed; the data that `--json` prints is complete."""
_HEADS = {
    "restored": ("green", "whole once a flipped bit is undone"),
    "suspicious": ("yellow", "there, and not to be trusted"),
    "lost": ("red", "lost"),
}


def render(
    path: str, judged: Iterable[Judged], sizes: Mapping[str, int], *, width: int | None = None, color: bool = False
) -> str:
    """Returns the summary as text.

    Args:
        path: Of the checkpoint.
        judged: What can be said of every key.
        sizes: Bytes of each key, where its shape is known.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    return drawn(_rows(path, list(judged), sizes), width, color)


def summary(path: str, judged: Iterable[Judged]) -> str:
    """Returns the summary in one line."""
    rows = list(judged)
    states = {state: sum(row.state == state for row in rows) for state in ("whole", *_HEADS)}
    said = ", ".join(f"{number:,} {state}" for state, number in states.items() if number) or "no tensors"
    return f"{clean(path)}: {said}"


def _rows(path: str, judged: list[Judged], sizes: Mapping[str, int]) -> Iterator[Row]:
    whole = [row for row in judged if row.state == "whole"]
    yield Row(
        f"{len(whole):,} of {count(len(judged), 'tensor')} {'is' if len(whole) == 1 else 'are'} whole{_size(whole, sizes)}",
        f"{clean(path)}: ",
        2,
        "bold",
    )
    for proof, words in PROOFS.items():
        if number := sum(row.proof == proof for row in whole):
            label = f"  {number:>7,}  "
            yield Row(f"whole {words}", label, len(label), "green")
    for state, (style, words) in _HEADS.items():
        mine = [row for row in judged if row.state == state]
        if mine:
            yield Row()
            yield Row(f"{count(len(mine), 'tensor')}{_size(mine, sizes)}", f"{words}: ", 2, style)
            yield from _reasons(mine, style)


def _reasons(judged: list[Judged], style: str) -> Iterator[Row]:
    """Yields the keys, those that follow each other with one reason together."""
    shown = 0
    for why, group in groupby(judged, key=lambda row: row.why):
        keys = [row.key for row in group]
        if shown >= _MOST_KEYS:
            break
        listed = ", ".join(f"`{name(key)}`" for key in keys[:3]) + (f" and {len(keys) - 3:,} more" if len(keys) > 3 else "")
        yield Row(f"{listed}: {shorten(clean(why), 300)}", "  ", 6, style)
        shown += len(keys)
    if len(judged) > shown:
        yield Row(f"and {len(judged) - shown:,} more; --json lists all", "  ", 6, "dim")


def _size(judged: list[Judged], sizes: Mapping[str, int]) -> str:
    known = sum(sizes.get(row.key, 0) for row in judged)
    return f", {size_text(known)}" if known else ""
