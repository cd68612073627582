"""Models that were pruned and saved before it was made permanent, into models without pruning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as untyped

import intact

prune: Any = untyped


def net() -> nn.Sequential:
    """Returns a small model."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


def pruned() -> nn.Sequential:
    """Returns one with masks over two of its weights and a bias."""
    model = net()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.ln_structured(model[3], "weight", amount=0.4, n=2, dim=0)
    prune.random_unstructured(model[3], "bias", amount=0.4)
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_pruned_weights_come_back_as_the_model_computed_them(tmp_path: Path, nested: bool) -> None:
    """Bit for bit what `prune.remove` would have left."""
    source, target = pruned(), net()
    state = source.state_dict()
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}} if nested else state, tmp_path / "p.pth")
    report = intact.check(tmp_path / "p.pth", target)
    assert report.verdict == "repairable"
    assert "arch/parametrization" in {finding.code for finding in report.findings}
    intact.load_into(target, tmp_path / "p.pth")
    for layer, name in ((0, "weight"), (3, "weight"), (3, "bias")):
        prune.remove(source[layer], name)
    wanted = source.state_dict()
    assert all(torch.equal(value.view(torch.int32), wanted[key].view(torch.int32)) for key, value in target.state_dict().items())


def test_a_pruned_model_takes_its_own_file(tmp_path: Path) -> None:
    """Nothing is to be repaired there."""
    torch.save(pruned().state_dict(), tmp_path / "p.pth")
    assert intact.check(tmp_path / "p.pth", pruned()).verdict == "intact"


def test_a_mask_of_another_shape_is_no_mask(tmp_path: Path) -> None:
    """It would be spread over the weight without a word."""
    state = pruned().state_dict()
    state["0.weight_mask"] = state["0.weight_mask"][:1]
    torch.save(state, tmp_path / "p.pth")
    report = intact.check(tmp_path / "p.pth", net())
    assert report.verdict == "lossy"
    assert all("0.weight_orig" not in f.keys for f in report.findings if f.code == "arch/parametrization")
