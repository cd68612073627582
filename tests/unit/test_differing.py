"""Two checkpoints side by side, across containers, dtypes and names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file
from torch import nn

import intact
from intact.cli.main import main


def weights() -> dict[str, torch.Tensor]:
    """A state dict of a few layers."""
    torch.manual_seed(0)
    return {key: value.clone() for key, value in nn.Sequential(*[nn.Linear(20, 20) for _ in range(4)]).state_dict().items()}


def run(*words: object) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, ["diff", *(str(word) for word in words)])


def test_the_same_weights_are_the_same_across_containers_names_and_dtypes(tmp_path: Path) -> None:
    """One line says it."""
    state = weights()
    torch.save({"state_dict": {f"module.{k}": v.half().float() for k, v in state.items()}, "epoch": 1}, tmp_path / "a.ckpt")
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "b.safetensors")
    found = intact.diff(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    assert found.same_weights
    assert {tensor.likeness for tensor in found.tensors} == {"exact"}
    assert found.renamed["state_dict.module.0.weight"] == "0.weight"
    assert found.extras_removed == ("epoch",)
    result = run(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    assert result.exit_code == 0
    assert "these are the same weights" in result.output


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_rounding_is_named_by_its_dtype(dtype: str, tmp_path: Path) -> None:
    """A detour through a narrower dtype is no training step."""
    state = weights()
    torch.save(state, tmp_path / "a.pth")
    kind = getattr(torch, dtype)
    torch.save({k: v.to(kind).float() for k, v in state.items()}, tmp_path / "b.pth")
    torch.save({k: v.to(kind) for k, v in state.items()}, tmp_path / "c.pth")
    for other in ("b.pth", "c.pth"):
        found = intact.diff(tmp_path / "a.pth", tmp_path / other)
        assert not found.same_weights
        assert {(tensor.likeness, tensor.rounding) for tensor in found.tensors} == {("rounded", dtype)}


def test_what_moved_most_comes_first_with_figures(tmp_path: Path) -> None:
    """The figures are those of the tensors themselves."""
    one, other = weights(), weights()
    other["1.weight"] += 0.01
    other["2.bias"][3] += 5
    torch.save(one, tmp_path / "a.pth")
    torch.save(other, tmp_path / "b.pth")
    found = intact.diff(tmp_path / "a.pth", tmp_path / "b.pth")
    assert [tensor.key for tensor in found.changed] == ["2.bias", "1.weight"]
    bias, weight = found.changed
    assert bias.changed == 1
    assert bias.largest == pytest.approx(5)
    wanted = (other["1.weight"] - one["1.weight"]).norm() / one["1.weight"].norm()
    assert weight.relative == pytest.approx(float(wanted), rel=1e-5)
    assert weight.changed == int((one["1.weight"] != other["1.weight"]).sum())
    assert sum(tensor.likeness == "equal" for tensor in found.tensors) == 6


def test_keys_and_shapes_that_differ_are_listed(tmp_path: Path) -> None:
    """A new head, and a layer that is gone."""
    one, other = weights(), weights()
    del other["3.bias"]
    other["more"] = torch.ones(2)
    other["0.bias"] = torch.ones(7)
    torch.save(one, tmp_path / "a.pth")
    torch.save(other, tmp_path / "b.pth")
    found = intact.diff(tmp_path / "a.pth", tmp_path / "b.pth")
    assert found.added == ("more",)
    assert found.removed == ("3.bias",)
    assert found.reshaped == {"0.bias": ((20,), (7,))}
    result = run(tmp_path / "a.pth", tmp_path / "b.pth", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["added"] == ["more"]
    assert len(data["tensors"]) == 6


def test_nan_and_infinity_are_equal_to_themselves(tmp_path: Path) -> None:
    """A mask of minus infinity is no change."""
    values = torch.tensor([1.0, float("nan"), float("-inf")])
    torch.save({"w": values}, tmp_path / "a.pth")
    torch.save({"w": values.double()}, tmp_path / "b.pth")
    torch.save({"w": torch.tensor([1.0, 2.0, float("-inf")])}, tmp_path / "c.pth")
    assert intact.diff(tmp_path / "a.pth", tmp_path / "b.pth").same_weights
    changed = intact.diff(tmp_path / "a.pth", tmp_path / "c.pth").changed
    assert changed[0].changed == 1
    assert changed[0].largest == float("inf")


def test_integers_are_compared_as_numbers(tmp_path: Path) -> None:
    """Counters in another width are the same counters."""
    torch.save({"n": torch.arange(5)}, tmp_path / "a.pth")
    torch.save({"n": torch.arange(5, dtype=torch.int32)}, tmp_path / "b.pth")
    assert intact.diff(tmp_path / "a.pth", tmp_path / "b.pth").same_weights


def test_without_values_no_tensor_is_compared(tmp_path: Path) -> None:
    """For files too large to read twice."""
    torch.save(weights(), tmp_path / "a.pth")
    found = intact.diff(tmp_path / "a.pth", tmp_path / "a.pth", values=False)
    assert found.tensors == ()
    assert run(tmp_path / "a.pth", tmp_path / "missing.pth").exit_code == 2
