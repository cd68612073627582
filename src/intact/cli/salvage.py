"""`intact salvage`: get out of a damaged file what is whole."""

from __future__ import annotations

import os
from typing import Literal

import click

from intact.cli.options import output_options
from intact.cli.output import Output, aside, say
from intact.cli.status import Status
from intact.errors import IntactError
from intact.renderers.words import clean


@click.command(short_help="Get out of a damaged file every tensor that is whole.")
@click.argument("broken", type=click.Path())
@click.option("-o", "--output", "target", metavar="GOOD", type=click.Path(), help="The file to write; only a list without it.")
@click.option(
    "--include",
    "included",
    type=click.Choice(["restored", "suspicious"]),
    multiple=True,
    help="Write these too: tensors with a flipped bit undone, or those that are there and not to be trusted.",
)
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["safetensors", "torch"]),
    help="Format of GOOD; by its ending where not given: .safetensors, or torch for any other.",
)
@click.option("--force", is_flag=True, help="Replace GOOD where it exists; never the original.")
@output_options
def salvage(
    output: Output,
    broken: str,
    target: str | None,
    included: tuple[str, ...],
    written_as: Literal["safetensors", "torch"] | None,
    force: bool,
) -> int:
    """Get out of a damaged checkpoint every tensor that is whole, bit for bit; the original is not touched.

    Truncated archives and streams, blocks of zeros, missing shards, flipped bits: what the file's own digests or checksums
    prove, or its layout where it keeps none, is written to GOOD. What is there and doubtful, and what is lost, is listed with
    the reason. Exit status: 0 every tensor is whole, 1 something is not, 2 could not look.

    \b
    Examples:
      intact salvage broken.pth
      intact salvage broken.pth -o good.safetensors
      intact salvage checkpoint_folder -o good.pth --include restored
    """
    from intact.renderers.salvage import render, summary
    from intact.salvaging import salvage_from, write_salvaged

    if target is not None and os.path.lexists(target) and not force:
        raise IntactError("the output exists already", path=target, help="name another file, or replace it with --force")
    found = salvage_from(broken, mapped=True)
    written = 0
    if target is not None:
        written = write_salvaged(found, target, source=broken, include=included, format=written_as, overwrite=force)
    if output.format == "json":
        output.data({**found.to_dict(), "written": target if written else None, "written_tensors": written})
    else:
        rows = found.judged.values()
        say(summary(broken, rows) if output.quiet else render(broken, rows, found.sizes, **output.drawing))
        if written and target is not None:
            say(f"\nwritten: {clean(target)}, {written:,} of {len(found.judged):,} tensors")
        elif target is not None:
            aside("nothing was written: no tensor is whole")
    return Status.FINE if len(found.tensors) == len(found.judged) else Status.NOT_INTACT
