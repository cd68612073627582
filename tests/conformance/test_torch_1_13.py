"""A real torch 1.13, where the system has one (Debian's `python3-torch`), writes files, and every value of them is read."""

from __future__ import annotations

import json
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
import torch

import intact

PYTHON = "/usr/bin/python3"
WRITER = """
import collections, json, sys, torch
from torch import nn
folder = sys.argv[1]
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
shared = torch.arange(24.0).reshape(4, 6)
state = collections.OrderedDict(net.state_dict())
odd = {
    "view": shared.t()[1:3], "shared": shared, "half": torch.randn(3).half(), "bfloat16": torch.randn(3).bfloat16(),
    "complex": torch.randn(2, dtype=torch.complex64), "bool": torch.tensor([True, False]), "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 3), "parameter": nn.Parameter(torch.ones(2)), "sparse": torch.eye(3).to_sparse(),
}
torch.save(state, folder + "/zip.pth")
torch.save(state, folder + "/legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"model": state, "odd": odd, "epoch": 3}, folder + "/training.ckpt")
torch.save({"model": state, "odd": odd, "epoch": 3}, folder + "/training_legacy.ckpt", _use_new_zipfile_serialization=False)
torch.save(net, folder + "/whole.pth")
torch.jit.save(torch.jit.script(net), folder + "/scripted.pt")
plain = {key: [str(value.dtype), list(value.shape), value.double().flatten().tolist()] for key, value in state.items()}
plain_odd = {
    key: [str(value.dtype), list(value.shape), torch.view_as_real(value).double().flatten().tolist() if value.is_complex()
          else value.detach().to_dense().double().flatten().tolist() if value.is_sparse
          else value.detach().double().flatten().tolist()]
    for key, value in odd.items()
}
json.dump({"state": plain, "odd": plain_odd, "version": torch.__version__}, open(folder + "/truth.json", "w"))
"""


@lru_cache(maxsize=1)
def has_old_torch() -> bool:
    """Whether the system's Python has a torch of the first series."""
    try:
        done = subprocess.run(
            [PYTHON, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.startswith("1.")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, and their values as JSON."""
    if not has_old_torch():
        pytest.skip("there is no torch 1 on this system (Debian: python3-torch)")
    folder = tmp_path_factory.mktemp("torch1")
    subprocess.run([PYTHON, "-W", "ignore", "-c", WRITER, str(folder)], check=True, timeout=120)
    return folder


def assert_values(found: dict[str, torch.Tensor], truth: dict[str, list[object]]) -> None:
    """Holds tensors against dtype, shape and values."""
    assert set(found) == set(truth)
    for key, (dtype, shape, values) in truth.items():
        tensor = found[key].detach()
        assert str(tensor.dtype) == dtype, key
        assert list(tensor.shape) == shape, key
        dense = tensor.to_dense() if tensor.is_sparse else torch.view_as_real(tensor) if tensor.is_complex() else tensor
        assert dense.double().flatten().tolist() == values, key


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "scripted.pt"])
def test_a_state_dict_is_read_as_it_was(name: str, written: Path) -> None:
    """Three formats, one state."""
    truth = json.loads((written / "truth.json").read_text())
    assert_values(intact.read(written / name), truth["state"])


@pytest.mark.parametrize("name", ["training.ckpt", "training_legacy.ckpt"])
def test_odd_tensors_in_a_nesting_are_read_as_they_were(name: str, written: Path) -> None:
    """Views, halves, complex and sparse ones."""
    truth = json.loads((written / "truth.json").read_text())
    content = intact.read(written / name)
    assert content["epoch"] == 3
    assert_values(content["model"], truth["state"])
    assert_values(content["odd"], truth["odd"])
    assert content["odd"]["view"].untyped_storage().data_ptr() == content["odd"]["shared"].untyped_storage().data_ptr()


def test_a_whole_model_loads_into_its_class(written: Path) -> None:
    """Nothing of it is unpickled."""
    from torch import nn

    truth = json.loads((written / "truth.json").read_text())
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    intact.load_into(model, written / "whole.pth")
    assert_values(dict(model.state_dict()), truth["state"])
