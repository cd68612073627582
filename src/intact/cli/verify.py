"""`intact verify`: is every byte as it was sealed?"""

from __future__ import annotations

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status
from intact.renderers.words import clean


@click.command(short_help="Say whether every byte is as it was sealed.")
@click.argument("file", type=click.Path())
@click.option("--full", is_flag=True, help="Digest the whole file with BLAKE3 too, and print the value that it can be pinned by.")
@click.option("--expect", metavar="VALUE", help="The pinned value: blake3:HEX (as --full prints it) or sha256:HEX.")
@output_options
def verify(output: Output, file: str, full: bool, expect: str | None) -> int:
    """Hold every byte of a checkpoint against the digests that were recorded when it was sealed.

    Damage is told by tensor and by byte range. A checkpoint without digests is never called intact here: seal it with `intact
    seal`, or write it with `intact.save`. Exit status: 0 every byte is as it was, 1 it is not or nothing can be verified, 2 could
    not look.

    \b
    Examples:
      intact verify model.safetensors
      intact verify run/model.safetensors.index.json --json
      intact verify model.safetensors --full
      intact verify model.safetensors --expect blake3:4c3f…
    """
    from intact import api
    from intact.pinning import pinned_value

    report = api.verify(file, expect=expect)
    pinned = pinned_value(report.source) if full and report.source.container else ""
    if output.format == "json" and pinned:
        output.data({**report.to_dict(), "pinned": pinned})
    else:
        output.report(report)
        if pinned:
            say(f"{pinned}  {clean(report.source.path)}" if output.quiet else f"\npinned by {pinned}")
    return Status.FINE if report.verdict == "intact" else Status.NOT_INTACT
