"""Saves of training state over one another, stopped at every call of the system: the old or the new one stands there, whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.faults import stopping
from tests.faults.saves import Scenario, Trial, survives_errors, survives_interrupts, survives_kills
from torch import nn

import intact

pytestmark = pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")


def objects(value: float) -> dict[str, Any]:
    """A model and its momentum, all of one value."""
    net = nn.Linear(5, 5)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for parameter in net.parameters():
        nn.init.constant_(parameter, value)
        optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, value)
    return {"model": net, "optimizer": optimizer, "step": value}


def save(value: float, folder: Path) -> None:
    """Saves them."""
    intact.save(objects(value), folder / "run")


def holds(folder: Path) -> str:
    """Which of the two a folder holds, in all its parts."""
    found = objects(0.0)
    assert intact.load_into(found, folder / "run").verdict == "intact"
    tensors = [*found["model"].parameters(), *(slots["momentum_buffer"] for slots in found["optimizer"].state.values())]
    (value,) = {float(value) for tensor in tensors for value in tensor.detach().flatten()} | {found["step"]}
    return {1.0: "old", 2.0: "new"}[value]


def litter(folder: Path) -> set[str]:
    """What belongs to neither."""
    inner = {path.name for path in (folder / "run").iterdir()} - {"state.json", "model.safetensors", "optimizer.safetensors"}
    return {path.name for path in folder.iterdir()} - {"run"} | inner


@pytest.mark.parametrize("check", [survives_kills, survives_errors, survives_interrupts])
def test_a_save_of_training_state_is_whole_at_every_call(check: Callable[[Trial], None], tmp_path: Path) -> None:
    """Weights of one save and moments of another are the worst that a crash can leave."""
    assert torch.get_num_threads() >= 1  # whatever torch starts is started before calls are counted
    check(Trial(Scenario(partial(save, 1.0), partial(save, 2.0), holds, litter), tmp_path))
