"""`intact scan`: is there anything in these files that must not be unpickled?"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from intact.cli.output import aside, say
from intact.cli.progress import Count, is_drawn
from intact.cli.status import Status
from intact.renderers.words import clean

if TYPE_CHECKING:
    from intact.scanning import Scanned

_SHOWN = ("unsafe", "suspect", "damaged", "unreadable")
_WORDS = {
    "unsafe": "unsafe",
    "suspect": "with names that are not known",
    "damaged": "damaged",
    "unreadable": "could not be looked at",
    "clean": "clean",
    "other": "no checkpoints",
}


@click.command(short_help="Look for files that must not be unpickled.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each file, as soon as it was looked at.")
@click.option(
    "--output-format", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True, help="How it is written."
)
@click.option(
    "--fail-on",
    type=click.Choice(["unsafe", "suspect", "damaged"]),
    default="unsafe",
    show_default=True,
    help="The mildest state that makes the exit status 1.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Files looked at at a time; one for each core where not given.")
@click.option("-q", "--quiet", is_flag=True, help="Print the summary alone.")
def scan(paths: tuple[str, ...], as_json: bool, output_format: str, fail_on: str, jobs: int | None, quiet: bool) -> None:
    """Walk files and folders, and say which of them would run something if they were unpickled.

    Every pickle of a file is looked at: members of archives, repeated and trailing ones, archives inside archives. Nothing is
    run or imported, and no byte of a tensor is read. Exit status: 0 nothing found, 1 something found, 2 a path is not there.

    \b
    Examples:
      intact scan models/
      intact scan downloads/ --fail-on suspect --json
      intact scan . --output-format sarif > intact.sarif
    """
    from intact.scanning import scan as scanned

    chosen = "json" if as_json else output_format
    counts: Counter[str] = Counter()
    causes: Counter[tuple[str, str]] = Counter()
    seen = Count(paths) if is_drawn() and not quiet else None
    try:
        rows = _watched(scanned(paths, processes=jobs), counts, causes, seen)
        if chosen == "sarif":
            from intact.renderers.sarif import sarif

            say(sarif((row.path, finding) for row in rows for finding in row.findings))
        else:
            for row in rows:
                _print(row, chosen, quiet)
    except OSError as error:
        aside(f"error: {clean(str(error.filename or ''))}: {error.strerror or error}")
        sys.exit(Status.COULD_NOT_LOOK)
    finally:
        if seen is not None:
            seen.hide()
    if chosen == "text" and not quiet and sum(causes.values()) > 1:
        say("\n".join(_table(causes)))
    _sum_up(counts, chosen)
    order = ("unsafe", "suspect", "damaged")
    failing = sum(counts[state] for state in order[: order.index(fail_on) + 1])
    sys.exit(Status.NOT_INTACT if failing else Status.FINE)


def _print(row: Scanned, chosen: str, quiet: bool) -> None:
    if chosen == "json":
        from intact.core.plain import json_text

        say(json_text(row.to_dict()))
    elif row.state in _SHOWN and not quiet:
        for finding in row.findings:
            code = f"{finding['code']}: " if finding["code"] else ""
            say(f"{clean(row.path)}: {row.state}\n  {code}{clean(finding['headline'])}")


def _watched(
    rows: Iterable[Scanned], counts: Counter[str], causes: Counter[tuple[str, str]], seen: Count | None
) -> Iterator[Scanned]:
    """Counts what comes by, and shows on a terminal how many there were, of how many."""
    for row in rows:
        counts[row.state] += 1
        if row.state in _SHOWN:
            causes.update({(row.state, str(finding["code"])) for finding in row.findings})
        if seen is not None:
            seen(f"{counts['unsafe']:,} unsafe" if counts["unsafe"] else "")
            if row.state in _SHOWN:
                seen.hide()
        yield row


def _table(causes: Counter[tuple[str, str]]) -> Iterator[str]:
    """Yields how many files there are of each state and cause, the worst state and the most frequent cause first."""
    rows = sorted(causes.items(), key=lambda row: (_SHOWN.index(row[0][0]), -row[1], row[0][1]))
    lines = [("state", "cause", "files"), *((state, code or "-", f"{number:,}") for (state, code), number in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(3)]
    yield ""
    for state, code, number in lines:
        yield f"  {state:<{widths[0]}}  {code:<{widths[1]}}  {number:>{widths[2]}}"
    yield ""


def _sum_up(counts: Counter[str], chosen: str) -> None:
    total = sum(counts.values())
    parts = ", ".join(f"{counts[state]:,} {words}" for state, words in _WORDS.items() if counts[state])
    text = f"{total:,} {'file' if total == 1 else 'files'}: {parts or 'nothing to look at'}"
    summary: Any = say if chosen == "text" else aside
    summary(text)
