"""Casts that torch does not know end in a refusal, not in its traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import intact


def test_a_cast_that_torch_does_not_know_is_refused(tmp_path: Path) -> None:
    """Two numbers packed into one element are no number, and torch has no cast for them."""
    packed = torch.zeros(3, 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    torch.save({"weight": packed, "bias": torch.zeros(3)}, tmp_path / "packed.pt")
    model = nn.Linear(2, 3)
    before = model.weight.clone()
    assert intact.check(tmp_path / "packed.pt", model).verdict == "lossy"
    with pytest.raises(intact.LoadRefused, match="cannot cast float4_e2m1fn_x2 to float32"):
        intact.load_into(model, tmp_path / "packed.pt", allow=["dtype/narrowing"])
    assert torch.equal(model.weight, before)
