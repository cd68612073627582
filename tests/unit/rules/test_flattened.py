"""Flat parameters in real files: order, nesting, ties, filling, several models, and lengths that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact


class Block(nn.Module):
    """Parameters of its own between those of its children, and a buffer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1))
        self.first, self.norm, self.second = nn.Linear(width, width), nn.BatchNorm1d(width), nn.Linear(width, width)


class Net(nn.Module):
    """An embedding that the head shares, and blocks."""

    def __init__(self, width: int = 3, tied: bool = True) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(()))
        self.embed = nn.Embedding(7, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, 7, bias=False)
        if tied:
            self.head.weight = self.embed.weight


def joined(parameters: Iterable[torch.Tensor], unit: int = 1, end: int = 1) -> torch.Tensor:
    """Returns parameters one after the other, each at a multiple of `unit`, the whole a multiple of `end` long."""
    made: list[torch.Tensor] = []
    for parameter in parameters:
        length = sum(map(len, made))
        made += [torch.full((-length % unit,), 42.0), parameter.detach().reshape(-1)]
    made.append(torch.full((-sum(map(len, made)) % end,), 42.0))
    return torch.cat(made)


def flat(model: Net, name: str = "_flat_param", root: str = "", **more: int) -> dict[str, torch.Tensor]:
    """Returns the state of a model whose blocks were wrapped, and itself around them."""
    wrapper = "_fsdp_wrapped_module." if name == "_flat_param" else "_fpw_module."
    inside = {id(p) for block in model.blocks for p in block.parameters()}
    state = {f"{root}{wrapper}{name}": joined((p for p in model.parameters() if id(p) not in inside), **more)}
    for number, block in enumerate(model.blocks):
        state[f"{root}{wrapper}blocks.{number}.{wrapper}{name}"] = joined(block.parameters(), **more)
    buffers = {f"{root}{key}": value for key, value in model.named_buffers()}
    return {**state, **buffers}


def findings(path: Path, content: Any, model: nn.Module, **more: Any) -> tuple[intact.Report, list[intact.Finding]]:
    """Returns the report on a file, and what it says of flat parameters."""
    torch.save(content, path)
    report = intact.check(path, model, **more)
    return report, [finding for finding in report.findings if finding.code == "arch/flattened"]


def assert_same(model: nn.Module, source: nn.Module) -> None:
    """Asserts that two models hold the same values."""
    held = source.state_dict()
    assert all(torch.equal(value, held[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["_flat_param", "flat_param_0"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("root", ["", "backbone.", "student.backbone."])
def test_parameters_come_back_from_flat_ones(tmp_path: Path, name: str, nested: bool, tied: bool, root: str) -> None:
    """At the top, under a place, behind names of other modules; a shared tensor once."""
    source, target = Net(tied=tied), Net(tied=tied)
    state = flat(source, name, root)
    content = {"model": state, "optimizer": {"exp_avg": torch.rand(9)}, "epoch": 3} if nested else state
    report, found = findings(tmp_path / "x.pth", content, target)
    assert len(found) == 1
    assert found[0].step is not None
    assert found[0].step.lossless
    intact.load_into(target, tmp_path / "x.pth", allow=report.plan.lossy_codes)
    assert_same(target, source)


@pytest.mark.parametrize("end", [1, 2, 8])
def test_filling_is_found_and_its_end_asks_for_permission(tmp_path: Path, end: int) -> None:
    """Every parameter at a multiple of 16 bytes; behind the last, what a number of processes made necessary."""
    source, target = Net(), Net()
    report, found = findings(tmp_path / "x.pth", flat(source, unit=4, end=4 * end), target)
    assert len(found) == 1
    assert "arch/flattened" in report.plan.lossy_codes
    with pytest.raises(intact.LoadRefused):
        intact.load_into(target, tmp_path / "x.pth")
    intact.load_into(target, tmp_path / "x.pth", allow=["arch/flattened"])
    assert_same(target, source)


def test_a_teacher_and_a_student_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """Both fit; the user says which, and gets it."""
    teacher, student, target = Net(), Net(), Net()
    content = {**flat(teacher, root="teacher."), **flat(student, root="student.")}
    report, (finding,) = findings(tmp_path / "x.pth", content, target)
    assert finding.ambiguous
    assert set(finding.evidence["roots"]) == {"teacher", "student"}
    assert finding.step is None
    with pytest.raises(intact.LoadRefused):
        intact.load_into(target, tmp_path / "x.pth")
    assert report.verdict == "lossy"


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_one_of_equal_parts_is_told_as_one(tmp_path: Path, parts: int) -> None:
    """The last ones are filled up, and all have one length."""
    state = {key: value for key, value in flat(Net(width=6)).items() if "flat" in key}
    cut = {key: joined([value], end=parts)[: -(-len(value) // parts)] for key, value in state.items()}
    report, (finding,) = findings(tmp_path / "x.pth", cut, Net(width=6))
    assert (report.verdict, finding.evidence["processes"]) == ("incompatible", [parts, parts])
    assert f"is one of {parts} parts" in finding.headline


def test_parameters_of_another_size_are_not_taken_apart(tmp_path: Path) -> None:
    """A model without one bias would get every value behind it at the wrong place."""
    source = Net()
    target = Net()
    target.blocks[1].second = nn.Linear(3, 3, bias=False)
    report, (finding,) = findings(tmp_path / "x.pth", flat(source), target)
    assert finding.step is None
    assert report.verdict == "incompatible"
    assert "has 31 values" in finding.headline
    assert "parameters there 28" in finding.headline
