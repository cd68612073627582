"""State dicts of numpy arrays that torch saved: the arrays are the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import intact


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_arrays_of_a_file_of_torch_are_its_weights(tmp_path: Path, zipped: bool, nested: bool) -> None:
    """Where a file holds arrays and no tensor."""
    source, target = nn.Linear(3, 4), nn.Linear(3, 4)
    arrays = {key: value.numpy() for key, value in source.state_dict().items()}
    content = {"model": arrays, "epoch": 3} if nested else arrays
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    intact.load_into(target, tmp_path / "a.pth")
    assert torch.equal(target.weight, source.weight)
    assert torch.equal(target.bias, source.bias)


def test_arrays_beside_tensors_are_no_weights(tmp_path: Path) -> None:
    """A history of losses is none of the model's."""
    torch.save({**nn.Linear(3, 4).state_dict(), "losses": np.arange(4.0)}, tmp_path / "a.pth")
    assert set(intact.inspect(tmp_path / "a.pth").found.tensors) == {"weight", "bias"}
