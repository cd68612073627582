"""`intact explain`: the page of a code."""

from __future__ import annotations

from itertools import groupby

import click

from intact.cli.options import CodeType, output_options
from intact.cli.output import Output, say
from intact.cli.status import Status
from intact.core.codes import CODES


@click.command(short_help="Explain a code, or list all codes.")
@click.argument("code", required=False, type=CodeType())
@output_options
def explain(output: Output, code: str | None) -> int:
    """Explain a code: what happened, an example, the fix, what looks alike. Without CODE, list all codes.

    \b
    Examples:
      intact explain arch/key-prefix
      intact explain key-prefix
      intact explain
    """
    if code is None:
        _list_all(output)
        return Status.FINE
    from intact import api

    page = api.explain(code)
    if output.format == "json":
        output.data({"code": code, "verdict": CODES[code], "page": page})
    elif output.quiet:
        say(page.partition("\n")[0])
    elif output.drawing["color"]:
        say(_painted(page, output.drawing["width"]))
    else:
        say(page.rstrip())
    return Status.FINE


def _list_all(output: Output) -> None:
    from intact.rules import PAGES

    firsts = {code: page.strip().partition("\n")[0] for code, page in PAGES.items()}
    if output.format == "json":
        output.data({code: {"verdict": verdict, "title": firsts.get(code, "")} for code, verdict in CODES.items()})
        return
    lines = []
    for family, codes in groupby(CODES, lambda code: code.partition("/")[0]):
        listed = list(codes)
        column = max(map(len, listed))
        lines += ["", f"{family}/", *(f"  {code:{column}}  {firsts.get(code, '')}".rstrip() for code in listed)]
    say("\n".join(lines[1:]))


def _painted(page: str, width: int | None) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.markdown import Markdown

    stream = StringIO()
    console = Console(file=stream, force_terminal=True, no_color=False, color_system="standard", width=width or 100)
    console.print(Markdown(page))
    return stream.getvalue().rstrip("\n")
