"""`intact audit` on a file of the user's: text, JSON, permissions and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from intact.cli.main import main

NET = """
import torch
from torch import nn

class Healthy(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body = nn.Linear(width, 2)

class Lists(Healthy):
    def __init__(self, width=4):
        super().__init__(width)
        self.convs = [nn.Conv2d(1, 1, width)]

class Late(Healthy):
    def __init__(self):
        super().__init__()
        self.weights = None

    def set_weights(self, weights):
        self.weights = weights

    def forward(self, x):
        return self.body(x) * self.weights

def late():
    model = Late()
    model.set_weights(torch.ones(2))
    return model
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `intact audit` in a folder with a `shapes.py` in it."""
    monkeypatch.chdir(tmp_path)
    Path("shapes.py").write_text(NET)
    return lambda *args: CliRunner().invoke(main, ["audit", *map(str, args)])


def test_a_healthy_model_exits_with_zero(run: Run) -> None:
    """Positional or by `--model`, with arguments for the factory."""
    for args in (("shapes.py:Healthy",), ("--model", "shapes.py:Healthy", "--model-args", '{"width": 8}')):
        result = run(*args)
        assert result.exit_code == 0, result.output
        assert "intact: everything that was found on the model survives a save" in result.output


def test_what_would_be_lost_exits_with_one_and_names_the_path(run: Run) -> None:
    """The line that a person searches for is the attribute."""
    result = run("shapes.py:Lists")
    assert result.exit_code == 1
    assert "convs[0].weight" in result.output
    assert "intact explain arch/unregistered-module" in result.output


def test_json_has_every_path(run: Run) -> None:
    """For tools."""
    data = json.loads(run("shapes.py:Lists", "--json").stdout)
    assert data["verdict"] == "lossy"
    assert data["findings"][0]["keys"] == ["convs[0].weight", "convs[0].bias"]


def test_one_line_names_the_class(run: Run) -> None:
    """There is no path to begin the line with."""
    assert run("shapes.py:Lists", "-q").output == "Lists: lossy: 1 thing would not survive a save\n"


def test_what_is_allowed_does_not_count(run: Run) -> None:
    """The same word as for a save; one that nothing asks for is told."""
    assert run("shapes.py:Lists", "--allow", "unregistered-module").exit_code == 0
    result = run("shapes.py:Healthy", "--allow", "value/nan")
    assert result.exit_code == 0
    assert "nothing in this model needs it" in result.output


def test_a_warning_counts_unless_only_losses_are_to(run: Run) -> None:
    """`--fail-on` moves the line."""
    assert run("shapes.py:late").exit_code == 1
    assert run("shapes.py:late", "--fail-on", "lossy").exit_code == 0


@pytest.mark.parametrize("args", [(), ("shapes.py:Healthy", "--model", "shapes.py:Healthy"), ("shapes.py:Missing",)])
def test_no_model_two_models_and_a_wrong_name_are_no_verdict(run: Run, args: tuple[str, ...]) -> None:
    """Exit status 2: it could not look."""
    assert run(*args).exit_code == 2
