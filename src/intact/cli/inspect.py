"""`intact inspect`: what is this file?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status

if TYPE_CHECKING:
    from intact.core.statistics import Statistics


@click.command(short_help="Show what a checkpoint holds.")
@click.argument("file", type=click.Path())
@click.option("--all-keys", is_flag=True, help="List every key on a line of its own, and every other entry.")
@click.option("--tree", is_flag=True, help="Show the modules as a tree, with classes where the file has them.")
@click.option("--stats", is_flag=True, help="Read every value too, and show range, spread and special values of each tensor.")
@output_options
def inspect(output: Output, file: str, all_keys: bool, tree: bool, stats: bool) -> int:
    """Show what a checkpoint holds: container, writer, tensors, ties and everything else.

    FILE is a checkpoint of any format, a folder, or the index of a sharded set. Nothing in it is run, no tensor bytes are read
    without --stats, and torch is not needed.

    \b
    Examples:
      intact inspect model.pth
      intact inspect epoch=41.ckpt --tree
      intact inspect model.pth --stats
      intact inspect model.safetensors --json | jq '.found.tensors[].key'
    """
    from intact import api
    from intact.renderers import inspection, text

    report = api.inspect(file)
    values = _values(file) if stats else {}
    if output.format == "json":
        from intact.renderers.statistics import to_dict

        figures = {"statistics": {key: to_dict(row) for key, row in values.items()}} if stats else {}
        output.data({**inspection.to_dict(report), **figures})
    elif output.format != "text":
        output.report(report)
    elif output.quiet:
        say(text.head_line(report))
    else:
        say(inspection.render(report, everything=all_keys, tree=tree, **output.drawing))
        if stats:
            from intact.renderers.statistics import render

            say("")
            say(render(report.found, values, **output.drawing))
    return Status.FINE


def _values(file: str) -> Mapping[str, Statistics]:
    from contextlib import closing

    from intact.containers import open_container
    from intact.statistics_survey import surveyed

    with closing(open_container(file)) as container:
        return surveyed(container)
