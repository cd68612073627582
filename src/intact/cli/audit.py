"""`intact audit`: would everything in my model survive a save?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from intact.cli.options import FAIL_ON, CodeType, model_factory, model_source_options, output_options
from intact.cli.output import Output, aside
from intact.cli.status import Status
from intact.core.report import VERDICTS, Report, verdict_of


@click.command(short_help="Say what in a model would not survive a save.")
@click.argument("spec", required=False)
@model_source_options(required=False)
@click.option(
    "--allow", metavar="CODE", multiple=True, type=CodeType(), help="Accept what CODE says is lost. May be given several times."
)
@click.option(
    "--fail-on",
    type=FAIL_ON,
    default="suspect",
    show_default=True,
    help="The mildest verdict for which the exit status is 1.",
)
@output_options
def audit(
    output: Output,
    spec: str | None,
    model: str | None,
    model_args: Mapping[str, Any] | None,
    allow: Sequence[str],
    fail_on: str,
) -> int:
    """Say what in a model would not survive a save: the model that SPEC, or --model, builds.

    Layers in plain lists, tensors in plain attributes, tensors without values, state made on first use, and more. Nothing is
    written. What --allow accepts does not count for the exit status: 0 intact, 1 any other verdict, 2 could not look.

    \b
    Examples:
      intact audit net.py:Net
      intact audit --model mypackage.models:build --model-args '{"width": 64}'
      intact audit net.py:trained --fail-on lossy --json
    """
    from intact import api

    named = [given for given in (spec, model) if given is not None]
    if len(named) != 1:
        raise click.UsageError("name one model, as SPEC or with --model" if not named else "name the model once")
    report = api.audit(model_factory(named[0], model_args))
    output.report(report)
    return _status(report, allow, fail_on)


def _status(report: Report, allow: Sequence[str], fail_on: str) -> Status:
    """The exit status, with a word on stderr about permissions that nothing asked for."""
    told = {finding.code for finding in report.findings if finding.severity != "info"}
    for code in allow:
        if code not in told:
            aside(f"--allow {code}: nothing in this model needs it")
    left = verdict_of(finding for finding in report.findings if finding.code not in allow)
    return Status.NOT_INTACT if VERDICTS.index(left) >= VERDICTS.index(fail_on) else Status.FINE
