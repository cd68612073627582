"""A training script under the guard is killed again and again: its checkpoint is whole each time, and never called damaged."""

from __future__ import annotations

import os
import random
import runpy
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from tests.faults import stopping

import intact
from intact.files.trees import removed

SCRIPT = Path(__file__).parents[1] / "guard_scripts" / "plain_loop.py"

KILLS = 60
"""Kills at random moments; plain torch leaves 75 of 80 such files broken where the save is all that a program does."""


def state(value: float) -> dict[str, torch.Tensor]:
    """A state that is of one save entirely."""
    return {"first": torch.full((1000,), value), "second": torch.full((50, 100), value)}


def value_of(path: Path) -> float:
    """Returns which save a file is of, as plain torch loads it and as the guard does, after intact had nothing against it."""
    loaded = torch.load(path)
    values = {float(v) for tensor in loaded.values() for v in tensor.unique()}
    assert len(values) == 1, "a mixture of two saves"
    with intact.guard(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(torch.load(path)["first"], loaded["first"])
    report = intact.verify(path)
    assert {finding.code for finding in report.findings} <= {"file/unsealed"}, str(report)
    return values.pop()


def in_a_fork(action: Callable[[], object]) -> int:
    """Runs an action in a copy of this process, in which everything is imported, and returns the process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        _child(action)
    return process


def _child(action: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        torch.set_num_threads(1)
        action()
        status = 0
    finally:
        os._exit(status)


@pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")
@pytest.mark.parametrize("old", ["sealed", "unsealed", "none"])
def test_a_kill_at_any_system_call_leaves_a_whole_file_and_a_seal_that_is_right_for_it(old: str, tmp_path: Path) -> None:
    """Between two renames a random kill hits once in a thousand; here each call is one of the moments."""
    path = tmp_path / "a.pth"

    def prepare() -> None:
        for left in tmp_path.iterdir():
            removed(left)
        if old == "unsealed":
            torch.save(state(1), path)
        elif old == "sealed":
            save(1)

    def save(value: float) -> None:
        with intact.guard():
            torch.save(state(value), path)

    save(0)  # whatever is imported on first use is imported now
    seen = set()
    for number in range(1000):
        prepare()
        outcome = stopping.stopped_at(lambda: save(2), number, under=tmp_path)
        if not outcome.fired:
            break
        seen.add(value_of(path) if path.exists() else 0.0)
        save(3)
        assert value_of(path) == 3
        assert sorted(os.listdir(tmp_path)) == ["a.pth", "a.pth.seal.json"], f"litter after a kill at {outcome.calls[-1]}"
    assert number > 15
    assert seen == {0.0 if old == "none" else 1.0, 2.0}


def test_a_script_that_is_killed_at_random_moments_resumes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads its checkpoint under the guard when it begins, so that every run also judges what the kill before it left."""
    monkeypatch.chdir(tmp_path)
    path, moments, epochs = tmp_path / "checkpoint.pth", random.Random(0), []

    def train() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        intact.guard()
        runpy.run_path(str(SCRIPT), run_name="__main__")

    monkeypatch.setattr(sys, "argv", ["plain_loop.py", "--epochs", "1", "--width", "2000"])
    with intact.guard():
        runpy.run_path(str(SCRIPT), run_name="__main__")  # whatever is imported on first use is imported now
    monkeypatch.setattr(sys, "argv", ["plain_loop.py", "--epochs", "100000", "--width", "2000"])
    for _ in range(KILLS):
        process = in_a_fork(train)
        end = time.monotonic() + 20
        seen = path.stat().st_mtime_ns if path.exists() else 0
        while (path.stat().st_mtime_ns if path.exists() else 0) == seen and time.monotonic() < end:
            assert os.waitpid(process, os.WNOHANG) == (0, 0), "the script ended by itself: it was refused its checkpoint"
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.03))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        epochs.append(torch.load(path)["epoch"])
        assert intact.verify(path).verdict in ("intact", "suspect")
    assert epochs == sorted(epochs)
    assert epochs[-1] >= KILLS
