"""What a file says of its model's hyperparameters is held against the model, and nothing else is."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.claimed_settings import settings_of
from intact.containers import open_container

CODE = "arch/hyperparameter-differs"


class Attention(nn.Module):
    """A part that keeps its number of heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.num_heads = heads
        self.comment = "as in the paper"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Splits by heads."""
        rows: torch.Tensor = self.qkv(x).view(x.shape[0], -1, self.num_heads)
        return rows


class Net(nn.Module):
    """A model that does not keep what it was built with."""

    def __init__(self, heads: int = 4, eps: float = 1e-5, hidden: int = 3) -> None:
        super().__init__()
        self.attention, self.norm, self.rnn = Attention(heads), nn.LayerNorm(48, eps=eps), nn.LSTM(48, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention, then normalisation."""
        rows: torch.Tensor = self.norm(self.attention(x))
        return rows


def _found(path: Path, model: nn.Module) -> list[Any]:
    report = intact.check(path, model)
    return [change for finding in report.findings if finding.code == CODE for change in finding.evidence["changes"]]


@pytest.mark.parametrize(
    "said",
    [
        {"hyper_parameters": {"num_heads": 8, "lr": 0.1}},
        {"args": argparse.Namespace(num_heads=8, seed=3)},
        {"config": {"model": {"num_heads": 8}}},
        {"num_heads": 8},
    ],
    ids=["lightning", "namespace", "nested", "beside"],
)
def test_a_setting_that_the_model_has_otherwise_is_told(said: dict[str, Any], tmp_path: Path) -> None:
    """Four heads instead of eight: every shape is the same, every output another."""
    torch.save({"state_dict": Net().state_dict(), **said}, tmp_path / "a.ckpt")
    (change,) = _found(tmp_path / "a.ckpt", Net())
    assert (change["name"], change["then"], change["now"], change["modules"]) == ("num_heads", 8, 4, ["attention"])
    torch.save({"state_dict": Net(8).state_dict(), **said}, tmp_path / "b.ckpt")
    assert _found(tmp_path / "b.ckpt", Net(8)) == []


def test_a_configuration_file_beside_the_weights_is_read(tmp_path: Path) -> None:
    """The library wrote it for just that."""
    intact.convert(_saved(Net(), tmp_path / "a.pth"), tmp_path / "model.safetensors")
    (tmp_path / "a.pth").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"num_heads": 2}))
    assert [change["then"] for change in _found(tmp_path / "model.safetensors", Net())] == [2]
    for broken in ("[" * 100_000, "{", "[1]", '{"num_heads": [{}]}'):
        (tmp_path / "config.json").write_text(broken)
        assert _found(tmp_path / "model.safetensors", Net()) == []


def test_attributes_of_a_pickled_model_are_compared(tmp_path: Path) -> None:
    """The model object holds them all, its class being here or not."""
    torch.save(Net(8, 1e-6), tmp_path / "whole.pt")
    rows = {(row["name"], row["then"], row["now"]) for row in _found(tmp_path / "whole.pt", Net())}
    assert rows == {("num_heads", 8, 4), ("eps", 1e-6, 1e-5)}
    assert _found(tmp_path / "whole.pt", Net(8, 1e-6)) == []


def test_what_says_nothing_of_the_model_is_not_held_against_it(tmp_path: Path) -> None:
    """A size of another part, how long it was trained, what nothing reads: none of it makes the model another."""
    said = {"hidden_size": 768, "epochs": 3, "seed": 1, "comment": "tuned", "num_heads": [4, 8], "eps": "small"}
    torch.save({"state_dict": Net().state_dict(), "args": said}, tmp_path / "a.ckpt")
    assert _found(tmp_path / "a.ckpt", Net()) == []
    two = {"args": {"encoder": {"num_heads": 8}, "decoder": {"num_heads": 2}}}
    torch.save({"state_dict": Net().state_dict(), **two}, tmp_path / "b.ckpt")
    assert _found(tmp_path / "b.ckpt", Net()) == []


def _saved(model: nn.Module, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


def test_a_mapping_that_stands_in_a_million_places_takes_no_time(tmp_path: Path) -> None:
    """Five levels of two hundred entries that are all one object: 3.2e11 ways through them."""
    level: dict[str, Any] = {"num_heads": 8}
    for _ in range(5):
        level = {f"k{n}": level for n in range(200)}
    torch.save({"state_dict": Net().state_dict(), "config": level}, tmp_path / "bomb.ckpt")
    with closing(open_container(tmp_path / "bomb.ckpt")) as container:
        assert set(settings_of(container)) <= {"config"}  # what was met before the visits were spent
