"""Denormal weights in real files, and what only resembles them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import intact

TINY = {torch.float32: 1e-40, torch.float64: 1e-310, torch.bfloat16: 1e-40, torch.float16: 1e-6}


def told(path: Path, state: object) -> list[str]:
    """Returns the keys of which a check says that they are denormal."""
    torch.save(state, path)
    return [key for finding in intact.check(path).findings if finding.code == "value/denormal" for key in finding.keys]


@pytest.mark.parametrize(
    ("dtype", "is_told"), [(torch.float32, True), (torch.float64, True), (torch.bfloat16, True), (torch.float16, False)]
)
def test_denormal_weights_are_told_where_the_dtype_has_room_below(tmp_path: Path, dtype: torch.dtype, is_told: bool) -> None:
    """What is denormal in float16 is an everyday weight."""
    weight = torch.ones(10, 20, dtype=dtype)
    weight[0] = TINY[dtype]
    assert told(tmp_path / "w.pth", {"w": weight}) == (["w"] if is_told else [])


@pytest.mark.parametrize(
    ("shape", "denormal", "is_told"),
    [
        ((10, 100), 10, True),
        ((10, 100), 9, False),
        ((1000,), 50, True),
        ((1000,), 49, False),
        ((7, 9), 63, False),
        ((8, 8), 64, True),
    ],
)
def test_a_share_of_a_tensor_has_to_be_denormal(tmp_path: Path, shape: tuple[int, ...], denormal: int, is_told: bool) -> None:
    """A few among many cost nothing that anybody could feel, and vectors less than what is multiplied by every pixel."""
    weight = torch.ones(shape)
    weight.view(-1)[:denormal] = -1e-41
    assert bool(told(tmp_path / "w.pth", {"w": weight})) == is_told


def test_moments_of_an_optimizer_are_small_by_nature(tmp_path: Path) -> None:
    """Squares of small gradients are denormal in every long run."""
    model = nn.Linear(10, 20)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 10)).sum().backward()
    optimizer.step()
    for slots in optimizer.state.values():
        slots["exp_avg_sq"].fill_(1e-41)
    assert told(tmp_path / "a.pth", {"model": model.state_dict(), "optimizer": optimizer.state_dict()}) == []
    assert told(tmp_path / "b.pth", optimizer.state_dict()) == []
    assert told(tmp_path / "c.pth", {"model": {"w": torch.full((80,), 1e-41)}, "opt": optimizer.state_dict()}) == ["model.w"]


def test_denormal_weights_load_all_the_same_and_exactly(tmp_path: Path) -> None:
    """It is a warning: the numbers are what the file says."""
    model, target = nn.Linear(16, 16), nn.Linear(16, 16)
    with torch.no_grad():
        model.weight.fill_(1e-41)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    report = intact.check(tmp_path / "w.pth", target)
    assert (report.verdict, [finding.severity for finding in report.findings]) == ("suspect", ["warning"])
    intact.load_into(target, tmp_path / "w.pth")
    assert torch.equal(target.weight.view(torch.int32), model.weight.view(torch.int32))
