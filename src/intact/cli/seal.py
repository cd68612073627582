"""`intact seal`: digests beside a checkpoint that has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from intact.cli.options import factory_of, model_source_options, output_options
from intact.cli.output import Output, say
from intact.cli.status import Status
from intact.renderers.words import clean


@click.command(short_help="Put a seal beside an existing checkpoint.")
@click.argument("file", type=click.Path())
@model_source_options(required=False)
@output_options
def seal(output: Output, file: str, model: str | None, model_args: Mapping[str, Any] | None) -> int:
    """Write the digests of a checkpoint, of any format, into FILE.seal.json beside it; the checkpoint is not touched.

    From then on `intact check`, `intact verify` and `intact.load_into` notice every changed byte. With --model, the
    architecture of the model and the environment are recorded too.

    \b
    Examples:
      intact seal model.pth
      intact seal pytorch_model.bin.index.json
      intact seal model.pth --model net.py:Net
    """
    from intact import api

    report = api.seal(file, factory_of(model, model_args))
    if output.format == "json":
        output.data({**report.to_dict(), "written": f"{report.source.path}.seal.json"})
    else:
        if not output.quiet:
            output.report(report)
            say("")
        say(f"written: {clean(report.source.path)}.seal.json")
    return Status.FINE if report.verdict == "intact" else Status.NOT_INTACT
