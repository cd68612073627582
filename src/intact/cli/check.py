"""`intact check`: is this file whole, and does it fit my model?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from intact.cli.options import FAIL_ON, factory_of, model_options, output_options
from intact.cli.output import Output, aside
from intact.cli.status import Status
from intact.core.report import VERDICTS, Report


@click.command(short_help="Say whether a checkpoint is whole and fits a model.")
@click.argument("file", type=click.Path())
@model_options(required=False)
@click.option(
    "--fail-on",
    type=FAIL_ON,
    default="suspect",
    show_default=True,
    help="The mildest verdict for which the exit status is 1.",
)
@click.option("--save-plan", metavar="PLAN", type=click.Path(), help="Write the plan as a file, to be read, edited and applied.")
@click.option("--exact", is_flag=True, help="Bind the saved plan to this one checkpoint, by the digest of its file.")
@output_options
def check(
    output: Output,
    file: str,
    model: str | None,
    model_args: Mapping[str, Any] | None,
    at: str | None,
    allow: Sequence[str],
    fail_on: str,
    save_plan: str | None,
    exact: bool,
) -> int:
    """Say whether a checkpoint is whole and, with --model, whether it fits the model; if not, why.

    Neither the file nor anything else is changed. What --allow accepts does not count for the exit status: 0 intact, 1 any other
    verdict, 2 could not look.

    \b
    Examples:
      intact check model.pth
      intact check model.pth --model net.py:Net --model-args '{"width": 64}'
      intact check run.ckpt --model mypackage.models:build --at ema
      intact check model.pth --model net.py:Net --fail-on lossy --json
      intact check model.pth --model net.py:Net --save-plan plan.json
    """
    from intact import api

    report = api.check(file, factory_of(model, model_args), at=at)
    output.report(report)
    if save_plan is not None:
        from intact.plan_files import save_plan as write_plan

        write_plan(report, save_plan, exact=exact)
        aside(f"written: {save_plan}, {len(report.plan.steps)} steps; intact repair FILE -o NEW --model … --plan {save_plan}")
    return _status(report, allow, fail_on)


def _status(report: Report, allow: Sequence[str], fail_on: str) -> Status:
    """The exit status, with a word on stderr about permissions that nothing asked for."""
    from intact.renderers.plan import verdict_after

    for code in allow:
        if code not in report.plan.lossy_codes:
            aside(f"--allow {code}: nothing in this checkpoint needs it")
    left = verdict_after(report, allow)
    return Status.NOT_INTACT if VERDICTS.index(left) >= VERDICTS.index(fail_on) else Status.FINE
