"""Entries of a checkpoint that are no tensors reach the model with the tensors they stand beside."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact


class Counting(nn.Linear):
    """Keeps plain data as extra state."""

    def __init__(self, step: int = 0) -> None:
        super().__init__(2, 2)
        self.kept: dict[str, Any] = {"step": step, "sizes": (1, 2)}

    def get_extra_state(self) -> dict[str, Any]:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


class Schedule:
    """A class that a file may name, and that is not made from one."""


class Bare(nn.Module):
    """Has extra state and no tensor of its own."""

    def __init__(self, step: int = 0) -> None:
        super().__init__()
        self.step = step

    def get_extra_state(self) -> int:
        return self.step

    def set_extra_state(self, state: Any) -> None:
        self.step = state


class Model(nn.Module):
    """Has extra state in two of its modules."""

    def __init__(self, step: int = 0) -> None:
        super().__init__()
        self.counting, self.bare, self.head = Counting(step), Bare(step), nn.Linear(2, 2)


@pytest.mark.parametrize("prefix", ["", "module.", "net.model."])
@pytest.mark.parametrize("nested", [False, True])
def test_extra_state_arrives_under_whatever_prefix(tmp_path: Path, prefix: str, nested: bool) -> None:
    """A wrapper renames it together with the tensors."""
    state = {prefix + key: value for key, value in Model(7).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if nested else state, tmp_path / "x.pt")
    model = Model()
    assert intact.load_into(model, tmp_path / "x.pt").verdict in ("intact", "repairable")
    assert model.counting.kept == {"step": 7, "sizes": (1, 2)}
    assert model.bare.step == 7


def test_tensors_of_extra_state_do_not_live_in_the_file(tmp_path: Path) -> None:
    """The setter keeps what it is given, and the file may be written again tomorrow."""
    source, model = Model(7), Model()
    source.counting.kept["history"], model.counting.kept["history"] = torch.full((3,), 7.0), torch.zeros(3)
    torch.save(source.state_dict(), tmp_path / "x.pt")
    intact.load_into(model, tmp_path / "x.pt")
    with (tmp_path / "x.pt").open("r+b") as stream:
        stream.write(bytes((tmp_path / "x.pt").stat().st_size))
    assert torch.equal(model.counting.kept["history"], torch.full((3,), 7.0))


def test_a_file_without_extra_state_leaves_it_as_it_is(tmp_path: Path) -> None:
    """safetensors has no place for it."""
    state = {key: value for key, value in Model(7).state_dict().items() if isinstance(value, torch.Tensor)}
    torch.save(state, tmp_path / "x.pt")
    model = Model(5)
    intact.load_into(model, tmp_path / "x.pt")
    assert model.counting.kept["step"] == 5


def test_objects_of_other_classes_are_not_made(tmp_path: Path) -> None:
    """A class of a file is a name; the model is not given an inert record in its place."""
    source, model = Model(7), Model()
    source.counting.kept["schedule"] = Schedule()
    torch.save(source.state_dict(), tmp_path / "x.pt")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(intact.LoadRefused, match="Schedule"):
        intact.load_into(model, tmp_path / "x.pt")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_quantized_model_computes_as_the_one_that_was_saved(tmp_path: Path) -> None:
    """Its weights are packed in entries; matching keys alone would leave random ones behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, model = (
            torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear})  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        torch.save(source.state_dict(), tmp_path / "q.pt")
        report = intact.load_into(model, tmp_path / "q.pt")
    x = torch.randn(2, 3)
    assert report.verdict == "intact"
    assert torch.equal(source(x), model(x))
