"""`intact convert`: write a checkpoint of any container as another one."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status
from intact.errors import IntactError
from intact.renderers.words import clean

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes: `5GB`, `500MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?)?B?", str(value).strip().upper())
        size = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
        if size < 1:
            self.fail(f"{value!r} is no size; say for example 5GB or 500MiB", param, ctx)
        return size


@click.command(short_help="Write a checkpoint of any container as another one.")
@click.argument("file", type=click.Path())
@click.argument("output_path", metavar="OUT", type=click.Path())
@click.option("--at", metavar="PLACE", help="Take only the tensors of this place, by their keys within it (state_dict).")
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["safetensors", "torch"]),
    help="Format of OUT; by its ending where not given: .safetensors, or torch for any other.",
)
@click.option("--max-shard-size", type=Size(), help="Most bytes of tensors in one file of a safetensors set, as 5GB.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists; never the input.")
@output_options
def convert(
    output: Output,
    file: str,
    output_path: str,
    at: str | None,
    written_as: Literal["safetensors", "torch"] | None,
    max_shard_size: int | None,
    force: bool,
) -> int:
    """Write a checkpoint of any container as sealed safetensors, a set of them, or a torch archive.

    Nothing in the input is run. Values, ties and plain entries are kept; what safetensors has no place for goes into a JSON file
    beside it. Damaged input is refused. Exit status: 0 written and read back, 1 written and not intact, 2 nothing was written.

    \b
    Examples:
      intact convert model.pth model.safetensors
      intact convert run.ckpt weights.safetensors --at state_dict
      intact convert step-5000/ model.pth
      intact convert big.bin model.safetensors --max-shard-size 5GB
    """
    from intact import api_files

    if os.path.lexists(output_path) and not force:
        raise IntactError("the output exists already", path=output_path, help="name another file, or replace it with --force")
    made = api_files.convert(file, output_path, at=at, format=written_as, max_shard_bytes=max_shard_size, overwrite=force)
    if output.format == "json":
        output.data(made.to_dict())
    elif not output.quiet:
        say("\n".join(map(clean, str(made).split("\n"))))
    return Status.FINE if made.report.verdict == "intact" else Status.NOT_INTACT
