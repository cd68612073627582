"""`at` names a place, or what keys start with, and what was named is loaded even where other keys agree with the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import intact


class Net(nn.Module):
    """A list of layers and a head, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.input_blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.out = nn.Linear(4, 2)


State = dict[str, torch.Tensor]


@pytest.fixture
def state() -> State:
    return Net().state_dict()


def held(path: Path, content: object, at: str) -> State:
    torch.save(content, path)
    model = Net()
    intact.load_into(model, path, at=at)
    return model.state_dict()


def same(a: State, b: State, offset: float = 0.0) -> bool:
    return all(torch.equal(value, b[key] + offset) for key, value in a.items())


@pytest.mark.parametrize("at", ["netB", "state_dict.netB"])
def test_one_of_two_networks_behind_prefixes_is_taken(state: State, tmp_path: Path, at: str) -> None:
    both = {f"netA.{k}": v for k, v in state.items()} | {f"netB.{k}": v + 1 for k, v in state.items()}
    assert same(held(tmp_path / "m.pth", {"epoch": 1, "state_dict": both}, at), state, 1)


def test_a_named_prefix_beats_keys_that_agree(state: State, tmp_path: Path) -> None:
    both = dict(state) | {f"netB.{k}": v + 1 for k, v in state.items()}
    assert same(held(tmp_path / "m.pth", both, "netB"), state, 1)


@pytest.mark.parametrize("at", ["model_ema", "state_dict.model_ema"])
def test_averages_under_names_without_dots_are_taken(state: State, tmp_path: Path, at: str) -> None:
    both = {f"model.diffusion_model.{k}": v for k, v in state.items()}
    both |= {"model_ema." + f"diffusion_model.{k}".replace(".", ""): v + 1 for k, v in state.items()}
    both |= {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": torch.tensor(3)}
    content = {"state_dict": both, "epoch": 3}
    assert same(held(tmp_path / "m.ckpt", content, at), state, 1)
    report = intact.check(tmp_path / "m.ckpt", Net())
    assert report.verdict == "repairable"
    (finding,) = (f for f in report.findings if f.code == "state/ema-present")
    assert 'at="model_ema"' in finding.help


def test_averages_under_names_with_underscores_are_taken(state: State, tmp_path: Path) -> None:
    both = dict(state) | {"ema_" + k.replace(".", "_"): v + 1 for k, v in state.items()}
    assert same(held(tmp_path / "m.pth", both, "ema"), state, 1)


def test_averages_of_other_shapes_are_no_averages_of_this_model(state: State, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save(dict(state) | {"ema_out_weight": torch.zeros(3, 4)}, path)
    assert [f.code for f in intact.check(path, Net()).findings] == ["arch/unexpected-key"]


def test_a_name_that_nothing_has_is_refused(state: State, tmp_path: Path) -> None:
    with pytest.raises(intact.IntactError, match="no place named"):
        held(tmp_path / "m.pth", state, "netC")
