"""`intact diff`: two checkpoints side by side."""

from __future__ import annotations

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status


@click.command(short_help="Compare two checkpoints: names, shapes, dtypes, values.")
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.option("--no-values", is_flag=True, help="Compare names, shapes and dtypes alone; no tensor is read.")
@click.option("--all", "everything", is_flag=True, help="List every key in place of the first ones.")
@output_options
def diff(output: Output, first: str, second: str, no_values: bool, everything: bool) -> int:
    """Compare two checkpoints of any two containers, dtypes and names.

    Keys that differ are aligned where the evidence leaves no doubt; values are equal, equal in another dtype, within the
    rounding of a dtype, or different, and what moved most comes first. Exit status: 0 the same weights, 1 others, 2 could not
    look.

    \b
    Examples:
      intact diff model.pth model.safetensors
      intact diff run/step-100.ckpt run/step-200.ckpt --all
      intact diff base/ tuned/ --json
    """
    from intact import api_files
    from intact.renderers.diff import render, verdict

    found = api_files.diff(first, second, values=not no_values)
    if output.format == "json":
        output.data(found.to_dict())
    elif output.quiet:
        say(verdict(found.to_dict()))
    else:
        say(render(found.to_dict(), everything=everything, **output.drawing))
    return Status.FINE if found.same_weights else Status.NOT_INTACT
