"""docs/reference/command.md is what the command says of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from intact.cli.main import main
from intact.cli.status import MEANING, Status, status_of
from intact.core.description import Source
from intact.core.report import Report
from intact.errors import CannotRead, Damaged, IntactError, LoadRefused, ModelError

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_is_what_would_be_generated() -> None:
    """A reference written by hand is wrong after the first change."""
    done = subprocess.run(
        [sys.executable, "tools/generate_command_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `python tools/generate_command_reference.py`\n{done.stdout}{done.stderr}"


def test_every_command_has_examples_and_every_option_its_help() -> None:
    """An example is what people read first."""
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f"intact {name}" in (command.help or ""), f"{name} shows no example"
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


def test_every_status_has_its_meaning() -> None:
    """The table of the documentation is made of these."""
    assert set(MEANING) == set(Status)


def test_errors_that_name_a_cause_are_verdicts() -> None:
    """Status 2 is kept for what could not be looked at."""
    assert status_of(Damaged("cut", code="file/truncated")) == 1
    assert status_of(LoadRefused("no", report=Report(source=_source()))) == 1
    assert status_of(CannotRead("no such file")) == 2
    assert status_of(ModelError("no such factory")) == 2
    assert status_of(IntactError("exists")) == 2


def _source() -> Source:
    return Source("x")
