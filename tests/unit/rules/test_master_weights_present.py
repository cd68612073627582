"""Half weights whose float32 masters lie in the same file, in the layouts of the programs that keep them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact

Masters = dict[str, torch.Tensor]


def net() -> nn.Sequential:
    """Returns a model with buffers, equal shapes and more than one layer."""
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 3))


def masters_of(model: nn.Module) -> Masters:
    """Returns its parameters as they are before they are halved."""
    return {key: value.detach().clone() for key, value in model.named_parameters()}


LAYOUTS: dict[str, Callable[[Masters], Any]] = {
    "lists by group": lambda masters: {"fp32_from_fp16": [list(masters.values())[:3], list(masters.values())[3:]]},
    "one list": lambda masters: {"master_params": list(masters.values())},
    "by number": lambda masters: {"state": {n: {"step": 3, "master_param": value} for n, value in enumerate(masters.values())}},
    "by name": lambda masters: {"fp32": dict(masters)},
    "backwards": lambda masters: {"fp32_params": list(masters.values())[::-1]},
    "beside moments": lambda masters: {
        "state": {
            n: {"exp_avg": torch.rand_like(value), "master": value, "exp_avg_sq": torch.rand_like(value)}
            for n, value in enumerate(masters.values())
        }
    },
}


def told(path: Path, content: Any, model: nn.Module | None) -> list[intact.Finding]:
    """Returns what a check says of masters."""
    torch.save(content, path)
    report = intact.check(path, model) if model is not None else intact.check(path)
    return [finding for finding in report.findings if finding.code == "dtype/master-weights-present"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_masters_are_found_by_what_they_round_to(tmp_path: Path, layout: str, dtype: torch.dtype) -> None:
    """Whatever the place is called and however it is ordered."""
    source = net()
    masters = masters_of(source)
    content = {"model": source.to(dtype).state_dict(), "optimizer": LAYOUTS[layout](masters)}
    (finding,) = told(tmp_path / "x.pt", content, net())
    assert set(finding.evidence["masters"]) == {f"model.{key}" for key in masters}
    assert finding.evidence["elements"] == sum(value.numel() for value in masters.values())
    read = intact.read(tmp_path / "x.pt")
    assert finding.evidence["place"].partition(".")[0] in read


@pytest.mark.parametrize(
    "case",
    ["moments", "other-weights", "halves-again", "wide-model", "half-model", "no-model", "part"],
)
def test_what_only_resembles_masters_is_not_told(tmp_path: Path, case: str) -> None:
    """Other values, no more digits, nothing lost by the load, or too few of them to be the weights."""
    source = net()
    masters = masters_of(source)
    target: nn.Module | None = net()
    if case == "moments":
        masters = {key: torch.rand_like(value) for key, value in masters.items()}
    elif case == "other-weights":
        masters = {key: value * 1.01 for key, value in masters.items()}
    elif case == "halves-again":
        masters = {key: value.half().float() for key, value in masters.items()}
    elif case == "part":
        masters = dict(list(masters.items())[:3])
    elif case == "no-model":
        target = None
    elif case == "half-model":
        target = net().half()
    state = source.state_dict() if case == "wide-model" else source.half().state_dict()
    assert told(tmp_path / "x.pt", {"model": state, "masters": list(masters.values())}, target) == []


def test_many_tensors_of_one_shape_are_compared_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of pairs grows with the square; a file can have a hundred thousand tensors of one shape."""
    from intact.rules.dtype import master_weights_present

    source = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(30))
    masters = list(masters_of(source).values())[::-1]
    content = {"model": source.half().state_dict(), "masters": masters}
    target = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(30))
    assert told(tmp_path / "x.pt", content, target)
    monkeypatch.setattr(master_weights_present, "TRIES_LIMIT", 100)
    assert not told(tmp_path / "x.pt", content, target)
