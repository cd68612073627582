"""Sealed saves over sealed checkpoints, stopped at every call of the system: the old one or the new one stands there, whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from tests.faults import stopping
from tests.faults.saves import Scenario, Trial, survives_errors, survives_interrupts, survives_kills
from torch import nn

import intact

pytestmark = pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")

NAME = "model.safetensors"
INDEX = "model.safetensors.index.json"


def model(value: float) -> nn.Module:
    """A small model whose weights all have one value."""
    made = nn.Linear(10, 10)
    for parameter in made.parameters():
        nn.init.constant_(parameter, value)
    return made


def save(value: float, max_shard_bytes: int | None, folder: Path) -> None:
    """Saves a model as a file, or as a set."""
    intact.save(model(value), folder / NAME, max_shard_bytes=max_shard_bytes)


def holds(folder: Path) -> str:
    """Which of the two a folder holds, under the name it was saved as and as the folder that it is."""
    found = set()
    for path in (folder, folder / NAME):
        loaded = model(0.0)
        assert intact.load_into(loaded, path).verdict == "intact"
        found |= {float(value) for tensor in loaded.parameters() for value in tensor.detach().flatten()}
    (value,) = found
    return {1.0: "old", 2.0: "new"}[value]


def litter(folder: Path) -> set[str]:
    """What belongs to neither."""
    names = {path.name for path in folder.iterdir()}
    named = set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()) if INDEX in names else set()
    return names - named - {NAME, INDEX}


def scenario(old: int | None, new: int | None) -> Scenario:
    """One save over another one."""
    return Scenario(partial(save, 1.0, old), partial(save, 2.0, new), holds, litter)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        (None, None, survives_errors),
        (None, 100, survives_kills),
        (100, None, survives_kills),
        (100, None, survives_interrupts),
        (100, 100, survives_errors),
        (100, 100, survives_interrupts),
    ],
)
def test_a_save_is_whole_at_every_call(old: int | None, new: int | None, check: Callable[[Trial], None], tmp_path: Path) -> None:
    """A kill, an error or Ctrl-C, when a file takes the place of a set, a set that of a file, and each that of its like."""
    assert torch.get_num_threads() >= 1  # whatever torch starts is started before calls are counted
    check(Trial(scenario(old, new), tmp_path))
