"""A save over a sealed checkpoint leaves the old one or the new one at every system call, whoever stops it.

The checkpoints are small, so that every call can be tried; one has a tensor that several threads digest while it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from tests.faults import stopping
from tests.faults.saves import (
    Scenario,
    Trial,
    survives_a_full_disk,
    survives_errors,
    survives_interrupts,
    survives_kills,
)
from torch import nn

import intact

pytestmark = pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")

NAME = "model.safetensors"
SHARD_BYTES = 300
"""Makes three shards of the small model."""

LARGE = 1 << 20
"""Elements of a tensor of 4 MiB, from which size on threads digest."""


class Small(nn.Module):
    """Three layers, a tie and a buffer; every value tells which save it is of."""

    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("extra", torch.zeros(extra))


@lru_cache
def model_of(which: str, extra: int = 0) -> Small:
    """Returns the model that is called old or new."""
    torch.manual_seed({"old": 1, "new": 2}[which])
    model = Small(extra)
    with torch.no_grad():
        model.get_buffer("extra").normal_()
    return model


def saving(which: str, extra: int = 0, max_shard_bytes: int | None = None) -> Callable[[Path], object]:
    """Returns a save of a model into a folder."""
    return lambda folder: intact.save(model_of(which, extra), folder / NAME, max_shard_bytes=max_shard_bytes)


def held_at(path: Path, extra: int = 0) -> str:
    """Returns which model a file or folder holds, bit for bit, and only where its digests agree."""
    report = intact.verify(path)
    assert report.verdict == "intact", f"{report.verdict}: {[finding.headline for finding in report.findings]}"
    found = intact.read(path)
    wanted = {which: model_of(which, extra).state_dict() for which in ("old", "new")}
    same = [
        which
        for which, state in wanted.items()
        if set(state) == set(found) and all(torch.equal(found[key], state[key]) for key in state)
    ]
    assert len(same) == 1, f"{sorted(found)} are of neither save"
    return same[0]


def litter(folder: Path) -> set[str]:
    """Returns the files that belong to no checkpoint, or to one of two that stand under one name."""
    index, found = folder / f"{NAME}.index.json", {path.name for path in folder.iterdir()}
    if index.name not in found:
        return found - {NAME}
    shards = set(json.loads(index.read_text())["weight_map"].values())
    return found - shards - (set() if NAME in found else {index.name})


def over(old_shard_bytes: int | None, new_shard_bytes: int | None, extra: int = 0) -> Scenario:
    """Returns a save of the new model over the old one; None is one file."""

    def holds(folder: Path) -> str:
        by_name, by_folder = held_at(folder / NAME, extra), held_at(folder, extra)
        assert by_name == by_folder or litter(folder), "name and folder lead to different checkpoints, and nothing tells why"
        return by_name

    return Scenario(saving("old", extra, old_shard_bytes), saving("new", extra, new_shard_bytes), holds, litter)


SCENARIOS = {
    "a file over a file": lambda: over(None, None),
    "shards over shards": lambda: over(SHARD_BYTES, SHARD_BYTES),
    "shards over a file": lambda: over(None, SHARD_BYTES),
    "a file over shards": lambda: over(SHARD_BYTES, None),
    "a large file over a large one": lambda: over(None, None, extra=LARGE),
}
DIFFERENT = ("a file over a file", "shards over shards", "a large file over a large one")
"""Those whose calls are not a mixture of the others'."""


def test_the_small_model_makes_three_shards(tmp_path: Path) -> None:
    """Or the cases below would not be what they are called."""
    saving("new", max_shard_bytes=SHARD_BYTES)(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert (held_at(tmp_path / NAME), litter(tmp_path)) == ("new", set())


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_killed_save_leaves_the_old_checkpoint_or_the_new_one(name: str, tmp_path: Path) -> None:
    """Machines are switched off, jobs run into their limits; the checkpoint of yesterday must not be the price."""
    survives_kills(Trial(SCENARIOS[name](), tmp_path))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_refused_call_is_told_and_keeps_the_old_checkpoint(name: str, tmp_path: Path) -> None:
    """Disks fail at any call, and a message that says the wrong thing about the files costs the rest."""
    survives_errors(Trial(SCENARIOS[name](), tmp_path))


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_full_disk_is_told_and_keeps_the_old_checkpoint(name: str, tmp_path: Path) -> None:
    """Cleaning up must not need room, and the last write before a disk is full writes a part."""
    survives_a_full_disk(Trial(SCENARIOS[name](), tmp_path))


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_interrupted_save_ends_as_interrupted_without_litter(name: str, tmp_path: Path) -> None:
    """Ctrl-C is how most saves are stopped."""
    survives_interrupts(Trial(SCENARIOS[name](), tmp_path))
