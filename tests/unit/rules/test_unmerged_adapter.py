"""Adapters beside their weights are merged with the scale that the file gives, and never without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact

CODE = "arch/unmerged-adapter"


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.Conv2d(3, 4, 3), nn.Embedding(10, 6))


def _state() -> dict[str, Any]:
    """A model as peft saves it: one linear layer, one convolution and one embedding with adapters of rank 2."""
    torch.manual_seed(0)
    plain, state = _model().state_dict(), {}
    for key, value in plain.items():
        owner, name = key.split(".")
        state[f"{owner}.base_layer.{name}"] = value
    for owner, down, up in (("0", (2, 8), (6, 2)), ("1", (2, 3, 3, 3), (4, 2, 1, 1))):
        state[f"{owner}.lora_A.default.weight"], state[f"{owner}.lora_B.default.weight"] = torch.randn(down), torch.randn(up)
    state["2.lora_embedding_A.default"], state["2.lora_embedding_B.default"] = torch.randn(2, 10), torch.randn(6, 2)
    return state


def _merged(state: dict[str, Any], scale: float) -> dict[str, torch.Tensor]:
    up, down = state["1.lora_B.default.weight"], state["1.lora_A.default.weight"]
    conv = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)
    linear = state["0.lora_B.default.weight"] @ state["0.lora_A.default.weight"]
    rows = (state["2.lora_embedding_B.default"] @ state["2.lora_embedding_A.default"]).T
    return {f"{n}.weight": state[f"{n}.base_layer.weight"] + scale * w for n, w in (("0", linear), ("1", conv), ("2", rows))}


@pytest.mark.parametrize(("config", "scale"), [({"lora_alpha": 6}, 3.0), ({"lora_alpha": 6, "use_rslora": True}, 6 / 2**0.5)])
def test_the_scale_of_a_configuration_beside_the_file_is_used(config: dict[str, Any], scale: float, tmp_path: Path) -> None:
    """Linear layers, convolutions and embeddings, each as the library adds them."""
    state = _state()
    torch.save(state, tmp_path / "model.bin")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    model = _model()
    assert intact.check(tmp_path / "model.bin", model).verdict == "lossy"
    intact.load_into(model, tmp_path / "model.bin", allow=[CODE])
    for key, value in _merged(state, scale).items():
        assert torch.allclose(model.state_dict()[key], value, atol=1e-5), key
    assert torch.equal(model.state_dict()["0.bias"], state["0.base_layer.bias"])


def test_a_number_among_the_tensors_is_divided_by_the_rank(tmp_path: Path) -> None:
    """As kohya-ss writes it: `alpha` beside `lora_down` and `lora_up`."""
    base, down, up = torch.randn(6, 8), torch.randn(2, 8), torch.randn(6, 2)
    rows = {"0.lora_down.weight": down, "0.lora_up.weight": up, "0.alpha": torch.tensor(4.0)}
    torch.save({"0.weight": base, "0.bias": torch.zeros(6), **rows}, tmp_path / "model.pt")
    model = nn.Sequential(nn.Linear(8, 6))
    intact.load_into(model, tmp_path / "model.pt", allow=[CODE])
    assert torch.allclose(model.state_dict()["0.weight"], base + 2 * up @ down, atol=1e-5)


@pytest.mark.parametrize("said", [{}, {"lora_alpha": 4, "alpha_pattern": {"0": 8}}, {"lora_alpha": 4, "use_dora": True}])
def test_without_a_scale_nothing_is_computed(said: dict[str, Any], tmp_path: Path) -> None:
    """A wrong factor would be another model that looks tuned."""
    torch.save({"state_dict": _state(), "config": said}, tmp_path / "model.pt")
    report = intact.check(tmp_path / "model.pt", _model())
    assert CODE in {finding.code for finding in report.findings}
    assert '"drop"' in json.dumps(report.plan.to_dict())
    assert "merge-adapter" not in json.dumps(report.plan.to_dict())
    with pytest.raises(intact.LoadRefused):
        intact.load_into(_model(), tmp_path / "model.pt")


def test_two_adapters_for_one_weight_are_not_added_up(tmp_path: Path) -> None:
    """Which of them was active is not in the file."""
    state = _state()
    state |= {key.replace("default", "other"): value.clone() for key, value in state.items() if "lora_" in key}
    torch.save({**state, "lora_alpha": 4}, tmp_path / "model.pt")
    report = intact.check(tmp_path / "model.pt", _model())
    assert CODE in {finding.code for finding in report.findings}
    assert '"drop"' in json.dumps(report.plan.to_dict())
    assert "merge-adapter" not in json.dumps(report.plan.to_dict())


@pytest.mark.parametrize(
    "odd",
    [
        {"0.alpha": torch.zeros(2)},
        {"0.lora_down.weight": torch.zeros(0, 8), "0.lora_up.weight": torch.zeros(6, 0)},
        {"0.weight": torch.zeros(6, 8, dtype=torch.int8)},
        {"lora_alpha": 10**400},
    ],
    ids=["several numbers", "no rank", "codes", "a number without end"],
)
def test_what_cannot_be_added_up_is_not(odd: dict[str, Any], tmp_path: Path) -> None:
    """A file may say anything; the answer is a verdict."""
    rows = {"0.lora_down.weight": torch.ones(2, 8), "0.lora_up.weight": torch.ones(6, 2), "lora_alpha": "four"}
    torch.save({"0.weight": torch.zeros(6, 8), "0.bias": torch.zeros(6), **rows, **odd}, tmp_path / "model.pt")
    report = intact.check(tmp_path / "model.pt", nn.Sequential(nn.Linear(8, 6)))
    assert "merge-adapter" not in json.dumps(report.plan.to_dict())
    assert report.verdict in ("lossy", "incompatible")
