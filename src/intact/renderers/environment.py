"""The recorded environment beside this one: one line for each thing, the gravest first, with what follows from it.

Texts of the record come from a file, so that they are made harmless and short before a terminal sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from intact.core.environment import Environment
from intact.environments import CONSEQUENCES, Consequence, Line, compare_environments
from intact.renderers.layout import Row, drawn
from intact.renderers.words import cells, clean, name, padded, sentence

WORDS: dict[Consequence, str] = {
    "cannot-load": "cannot load",
    "may-change-outputs": "may change outputs",
    "harmless": "harmless",
    "not-compared": "not compared",
    "equal": "equal",
}
"""Each consequence as people read it."""

_STYLES: dict[Consequence, str] = {
    "cannot-load": "bold red",
    "may-change-outputs": "bold yellow",
    "harmless": "dim",
    "not-compared": "dim",
    "equal": "green",
}
LONGEST_CELL = 40
"""Characters of one value in text, about what names of devices need."""

SETTINGS_NOTE = "settings are those of this process: the program that uses the model makes its own"


def render(path: str, recorded: Environment, current: Environment, *, width: int | None = None, color: bool = False) -> str:
    """Returns the comparison as text.

    Args:
        path: Of the checkpoint.
        recorded: What it keeps.
        current: This environment.
        width: Columns of the terminal; None for lines of any length.
        color: Whether to use escape sequences for colours.
    """
    lines = sorted(compare_environments(recorded, current), key=lambda line: CONSEQUENCES.index(line.consequence))
    return drawn(_rows(path, lines), width, color)


def summary(path: str, recorded: Environment, current: Environment) -> str:
    """Returns the comparison in one line."""
    return f"{clean(path)}: {_counts(compare_environments(recorded, current))}"


def to_dict(path: str, recorded: Environment, current: Environment) -> dict[str, Any]:
    """Returns both environments and the comparison as plain data."""
    lines = compare_environments(recorded, current)
    compared = [
        {
            "name": e.name,
            "kind": e.kind,
            "recorded": e.recorded,
            "current": e.current,
            "consequence": e.consequence,
            "reason": e.reason,
        }
        for e in lines
    ]
    return {"schema": 1, "path": path, "recorded": plain(recorded), "current": plain(current), "lines": compared}


def plain(environment: Environment) -> Any:
    """Returns an environment as plain data, just as a checkpoint keeps it."""
    import msgspec

    return msgspec.to_builtins(environment)


def worst(lines: Sequence[Line]) -> Consequence:
    """Returns the gravest consequence there is."""
    return min((line.consequence for line in lines), key=CONSEQUENCES.index, default="equal")


def _counts(lines: Sequence[Line]) -> str:
    numbers = {consequence: sum(line.consequence == consequence for line in lines) for consequence in CONSEQUENCES}
    return ", ".join(f"{number} {WORDS[consequence]}" for consequence, number in numbers.items() if number)


def _rows(path: str, lines: Sequence[Line]) -> Iterator[Row]:
    yield Row("the environment it was saved in, beside this one", f"{clean(path)}: ", 2, "bold")
    table = [tuple(name(text, LONGEST_CELL) or "-" for text in (e.name, e.recorded, e.current)) for e in lines]
    heads = ("", "recorded", "here")
    first, second, third = (max(cells(row[place]) for row in (heads, *table)) for place in range(3))
    consequences = max(len(WORDS[line.consequence]) for line in lines)
    yield Row(f"  {'':{consequences}}  {'':{first}}  {padded(heads[1], second)}  {heads[2]}", whole=True, style="dim")
    for line, (what, then, here) in zip(lines, table, strict=True):
        label = f"  {WORDS[line.consequence]:{consequences}}  "
        text = f"{padded(what, first)}  {padded(then, second)}  {padded(here, third)}  {sentence(line.reason)}"
        yield Row(text.rstrip(), label, whole=True, style=_STYLES[line.consequence])
    yield Row()
    yield Row(_counts(lines), "  ", 2)
    if any(line.kind == "setting" and line.consequence != "equal" for line in lines):
        yield Row(SETTINGS_NOTE, "  ", 2, "dim")


def render_one(environment: Environment, *, width: int | None = None, color: bool = False) -> str:
    """Returns one environment as text."""
    facts = _facts(environment)
    column = max(cells(what) for what, _ in facts)
    return drawn((Row(text, f"{padded(what, column)}  ", column + 2, "dim") for what, text in facts), width, color)


def _facts(environment: Environment) -> list[tuple[str, str]]:
    """Name and value of all that is known; compared with itself, an environment gives just the lines that it has."""
    lines = compare_environments(environment, environment)
    known = [(name(line.name), sentence(line.recorded)) for line in lines if line.recorded]
    return known or [("environment", "nothing is known")]


def bug_report(environment: Environment, versions: dict[str, str], collected: str) -> str:
    """Returns what maintainers ask for: versions of intact and what it stands on, this environment, and what torch collects.

    Args:
        environment: This one.
        versions: Name to version, "" for what is not installed.
        collected: The text of `torch.utils.collect_env`.
    """
    installed = [f"{what}: {version or 'not installed'}" for what, version in versions.items()]
    settings = [f"{what}: {text}" for what, text in _facts(environment)]
    parts = ["\n".join(installed), "\n".join(settings), collected.strip()]
    return "```text\n" + "\n\n".join(part for part in parts if part) + "\n```"
