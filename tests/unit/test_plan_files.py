"""A plan may be read, edited and applied later, to what it was made for and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import intact
from intact.cli.main import main
from intact.plan_files import save_plan


def net(width: int = 5) -> nn.Module:
    """A model of two layers of one shape."""
    return nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))


def wrapped(path: Path, width: int = 5) -> dict[str, torch.Tensor]:
    """Writes a state dict under a wrapper's prefix, and returns it."""
    state = net(width).state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return state


def run(*words: object) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_saved_plan_does_what_the_check_would_have_done(tmp_path: Path) -> None:
    """For the same checkpoint, and for another one of the same run."""
    first, second, plan = tmp_path / "1.pth", tmp_path / "2.pth", tmp_path / "plan.json"
    wrapped(first)
    state = wrapped(second)
    save_plan(intact.check(first, net), plan)
    model = net()
    intact.load_into(model, second, plan=plan)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_an_edited_plan_is_followed(tmp_path: Path) -> None:
    """Two layers of one shape: the user knows that they are the other way round."""
    path, plan = tmp_path / "1.pth", tmp_path / "plan.json"
    state = wrapped(path)
    save_plan(intact.check(path, net), plan)
    data = json.loads(plan.read_text())
    pairs = {f"module.{a}.{leaf}": f"{b}.{leaf}" for a, b in ((0, 1), (1, 0)) for leaf in ("weight", "bias")}
    data["steps"] = [{"code": "arch/renamed-key", "kind": "rename", "lossless": True, "renames": pairs}]
    kinds = intact.check(path, net).plan.to_dict()["steps"][0]
    data["steps"][0] = {**kinds, "code": "arch/renamed-key"}
    if "renames" in kinds:
        data["steps"][0]["renames"] = pairs
    plan.write_text(json.dumps(data))
    model = net()
    intact.load_into(model, path, plan=plan)
    swapped = torch.equal(model.state_dict()["1.weight"], state["0.weight"])
    assert swapped == ("renames" in kinds)


def test_a_plan_for_another_checkpoint_or_model_is_refused(tmp_path: Path) -> None:
    """It would put tensors where nobody meant them."""
    path, other, plan = tmp_path / "1.pth", tmp_path / "wide.pth", tmp_path / "plan.json"
    wrapped(path)
    wrapped(other, 6)
    save_plan(intact.check(path, net), plan)
    with pytest.raises(intact.LoadRefused, match="another checkpoint"):
        intact.load_into(net(6), other, plan=plan)
    with pytest.raises(intact.LoadRefused, match="another model"):
        intact.load_into(nn.Sequential(net(), nn.Linear(2, 2)), path, plan=plan)


def test_an_exact_plan_is_for_one_file(tmp_path: Path) -> None:
    """The same keys with other values are another checkpoint."""
    path, other, plan = tmp_path / "1.pth", tmp_path / "2.pth", tmp_path / "plan.json"
    wrapped(path)
    wrapped(other)
    save_plan(intact.check(path, net), plan, exact=True)
    intact.load_into(net(), path, plan=plan)
    with pytest.raises(intact.LoadRefused, match="by its digest"):
        intact.load_into(net(), other, plan=plan)


def test_a_plan_that_does_not_arrive_is_refused_and_the_model_stays(tmp_path: Path) -> None:
    """Somebody took a step out of it."""
    path, plan = tmp_path / "1.pth", tmp_path / "plan.json"
    wrapped(path)
    save_plan(intact.check(path, net), plan)
    data = json.loads(plan.read_text())
    data["steps"] = []
    plan.write_text(json.dumps(data))
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(intact.LoadRefused, match="does not arrive"):
        intact.load_into(model, path, plan=plan)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "other"}', '{"kind": "intact plan", "schema": 99}'])
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    """A file of another kind is never half understood."""
    path, plan = tmp_path / "1.pth", tmp_path / "plan.json"
    wrapped(path)
    plan.write_text(text)
    with pytest.raises(intact.IntactError, match="plan"):
        intact.load_into(net(), path, plan=plan)


def test_the_command_saves_a_plan_and_follows_it(tmp_path: Path) -> None:
    """Review by one person, repair by another."""
    path, plan, fixed = tmp_path / "1.pth", tmp_path / "plan.json", tmp_path / "fixed.pth"
    state = wrapped(path)
    code = tmp_path / "net.py"
    code.write_text("from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))\n")
    result = run("check", path, "--model", f"{code}:net", "--save-plan", plan)
    assert plan.exists(), result.output
    assert run("check", path, "--save-plan", tmp_path / "none.json").exit_code == 2
    repaired = run("repair", path, "-o", fixed, "--model", f"{code}:net", "--plan", plan)
    assert repaired.exit_code == 0, repaired.output
    assert all(torch.equal(value, state[key]) for key, value in torch.load(fixed, weights_only=True).items())
