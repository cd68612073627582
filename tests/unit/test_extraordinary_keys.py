"""Keys that no model can have are left aside before anything is searched, in time and memory that do not depend on their form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import intact

FORMS = ["a.", "1.", "ema.", "ema_", "[0]", "x", "a.0.", "module."]
PARTS = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model behind a prefix, beside keys of every form."""
    state = {f"module.{key}": value for key, value in net().state_dict().items()}
    torch.save({form * PARTS + "w": torch.ones(4, 4) for form in FORMS} | state, tmp_path / "m.pth")
    return tmp_path / "m.pth"


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


def test_they_are_unexpected_and_the_rest_is_understood(path: Path) -> None:
    report = intact.check(path, net())
    assert [finding.code for finding in report.findings] == ["arch/unexpected-key", "arch/key-prefix"]
    assert report.findings[0].keys == tuple(form * PARTS + "w" for form in FORMS)
    assert len(report.findings[0].headline) < 400
    assert report.verdict == "lossy"
    model = net()
    intact.load_into(model, path, allow=["arch/unexpected-key"])
    assert torch.equal(model.state_dict()["0.weight"], torch.load(path)["module.0.weight"])


def test_beside_a_model_they_are_no_loss(path: Path, tmp_path: Path) -> None:
    state = net().state_dict()
    torch.save({"model": state, "notes": {"a sentence, " * 100: torch.ones(2)}}, tmp_path / "n.pth")
    report = intact.check(tmp_path / "n.pth", net())
    assert report.verdict == "repairable"
    assert report.plan.lossless


@pytest.mark.parametrize(
    "arguments",
    [["inspect", "--tree"], ["check"], ["check", "--output-format", "html"], ["check", "--json"], ["diff"], ["salvage"]],
    ids=" ".join,
)
def test_every_command_ends_in_bounded_memory(arguments: list[str], path: Path, tmp_path: Path) -> None:
    torch.save({"state": torch.load(path)}, tmp_path / "nested.pth")
    files = [str(tmp_path / "nested.pth"), str(path)] if arguments[0] == "diff" else [str(path)]
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30,) * 2); "
    code = limited + "from intact.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments, *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode in (0, 1), run.stderr
    assert "itself failed" not in run.stderr + run.stdout
