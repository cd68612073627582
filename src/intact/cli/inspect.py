"""`intact inspect`: what is this file?"""

from __future__ import annotations

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status


@click.command(short_help="Show what a checkpoint holds.")
@click.argument("file", type=click.Path())
@click.option("--all-keys", is_flag=True, help="List every key on a line of its own, and every other entry.")
@click.option("--tree", is_flag=True, help="Show the modules as a tree, with classes where the file has them.")
@output_options
def inspect(output: Output, file: str, all_keys: bool, tree: bool) -> int:
    """Show what a checkpoint holds: container, writer, tensors, ties and everything else.

    FILE is a checkpoint of any format, a folder, or the index of a sharded set. Nothing in it is run, no tensor bytes are read,
    and torch is not needed.

    \b
    Examples:
      intact inspect model.pth
      intact inspect epoch=41.ckpt --tree
      intact inspect model.safetensors --json | jq '.found.tensors[].key'
    """
    from intact import api
    from intact.renderers import inspection, text

    report = api.inspect(file)
    if output.format == "json":
        output.data(inspection.to_dict(report))
    elif output.format != "text":
        output.report(report)
    elif output.quiet:
        say(text.head_line(report))
    else:
        say(inspection.render(report, everything=all_keys, tree=tree, **output.drawing))
    return Status.FINE
