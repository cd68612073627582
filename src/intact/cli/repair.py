"""`intact repair`: write a copy that the model loads as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click

from intact.cli.options import model_factory, model_options, output_options
from intact.cli.output import Output, aside, say
from intact.cli.status import Status
from intact.core.report import Report
from intact.errors import IntactError
from intact.renderers.words import clean


@click.command(short_help="Write a corrected copy that a model loads as it is.")
@click.argument("file", type=click.Path())
@click.option("-o", "--output", "target", metavar="OUT", required=True, type=click.Path(), help="The file to write.")
@model_options(required=True)
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["safetensors", "torch"]),
    help="Format of OUT; by its ending where not given: .safetensors, or torch for any other.",
)
@click.option("--plan", metavar="PLAN", type=click.Path(), help="Follow this plan file of `intact check --save-plan`.")
@click.option("--dry-run", is_flag=True, help="Print the report and the plan, and write nothing.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists; never the original.")
@output_options
def repair(
    output: Output,
    file: str,
    target: str,
    model: str,
    model_args: Mapping[str, Any] | None,
    at: str | None,
    allow: Sequence[str],
    written_as: Literal["safetensors", "torch"] | None,
    plan: str | None,
    dry_run: bool,
    force: bool,
) -> int:
    """Write a corrected copy of a checkpoint that the model loads as it is; the original is not touched.

    Loss-free steps are taken by themselves; what loses something has to be allowed by its code. OUT is written whole or not at
    all, and read back: exit status 0 says that the model loads it.

    \b
    Examples:
      intact repair model.pth -o fixed.pth --model net.py:Net
      intact repair run.ckpt -o weights.safetensors --model net.py:Net --dry-run
      intact repair model.pth -o fixed.pth --model net.py:Net --allow arch/resized-head
      intact repair model.pth -o fixed.pth --model net.py:Net --plan plan.json
    """
    from intact import api

    if os.path.lexists(target) and not force and not dry_run:
        raise IntactError("the output exists already", path=target, help="name another file, or replace it with --force")
    factory = model_factory(model, model_args)
    if dry_run:
        return _outlook(output, api.check(file, factory, at=at), target, allow)
    before = _mark(target)
    try:
        report = api.repair(file, target, factory, allow=allow, at=at, format=written_as, overwrite=force, plan=plan)
    except KeyboardInterrupt:
        if _mark(target) == before:
            raise
        aside(f"interrupted; {clean(target)} was written whole, and not read back")
        return Status.INTERRUPTED
    return _told(output, report, target)


def _told(output: Output, report: Report, target: str) -> Status:
    verified = report.verdict in ("intact", "suspect")
    if output.format == "json":
        output.data({**report.to_dict(), "written": target, "verified": verified})
        return Status.FINE if verified else Status.NOT_INTACT
    if not output.quiet or not verified:
        output.report(report)
        say("")
    say(f"written: {clean(target)}" + (", read back: the model loads it as it is" if verified else ""))
    return Status.FINE if verified else Status.NOT_INTACT


def _outlook(output: Output, report: Report, target: str, allow: Sequence[str]) -> Status:
    """Says what a repair would do; the status is the one that it would end with."""
    from intact.renderers.plan import in_the_way, not_allowed

    output.report(report)
    missing = not_allowed(report, allow)
    if in_the_way(report):
        aside("dry run: nothing was written, and a repair would be refused")
    elif missing:
        aside(f"dry run: nothing was written; a repair needs {' '.join(f'--allow {code}' for code in missing)}")
    else:
        aside(f"dry run: nothing was written; a repair would write {clean(target)}")
    return Status.NOT_INTACT if in_the_way(report) or missing else Status.FINE


def _mark(path: str) -> tuple[int, int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)
