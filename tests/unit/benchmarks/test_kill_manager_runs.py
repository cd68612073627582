"""Killing runs of a manager at small size: nothing is lost, and what is lost would be noticed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from benchmarks import kill_manager
from benchmarks.kill_manager import WORST, Restored, Said

from intact import CheckpointManager

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and killed as Linux does it")


def test_killed_runs_go_on_from_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    """A few kills of saves that are waited for and of saves in the background."""
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "benchmarks.kill_manager", "--kills", "8", "--width", "32", "--json", str(record)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = json.loads(record.read_text())["counts"]
    assert list(counts) == ["save", "save in the background"]
    for name, row in counts.items():
        assert row["kills"] == row["whole"] == 4
        assert name in done.stdout


WHOLE = Restored(7, True, 0, 7, 1.0, 0, ())


@pytest.mark.parametrize(
    ("said", "restored", "faults"),
    [
        (Said(7, 7, 1.0), WHOLE, []),
        (Said(7, 6, 1.0), WHOLE, []),
        (Said(), Restored(-1, False, 0, -1, WORST, 0, ()), []),
        (Said(8, 8, 1.0), WHOLE, ["older"]),
        (Said(8, 7, 1.0), Restored(7, True, 1, 8, 1.0, 0, ()), ["older", "passed over"]),
        (Said(7, 7, 1.0), Restored(-1, False, 2, 7, 1.0, 0, ()), ["lost", "passed over"]),
        (Said(7, 7, 1.0), Restored(-1, False, 0, -1, WORST, 0, ()), ["lost", "best lost"]),
        (Said(7, 7, 1.0), Restored(7, False, 0, 7, 1.0, 0, ()), ["changed"]),
        (Said(7, 7, 0.5), WHOLE, ["best lost"]),
        (Said(7, 7, 1.0), Restored(7, True, 0, 7, 1.0, 3, (".step-6.lock",)), ["left over"]),
    ],
)
def test_what_a_killed_run_comes_back_to_is_called_by_its_name(said: Said, restored: Restored, faults: list[str]) -> None:
    """A save that had begun may be there or not; one that was reported done must be."""
    assert kill_manager.faults_of(said, restored) == faults


def test_what_a_killed_process_said_is_read_line_by_line() -> None:
    """The last line before the kill may be that a save began."""
    said = kill_manager.said_in(["ready", "begun 3", "done 3", "begun 4"])
    assert said == Said(4, 3, kill_manager.measure_of(3))


def test_a_manager_that_reports_what_it_did_not_write_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot tell a good manager from a bad one proves nothing."""
    save = CheckpointManager.save

    def forgetful(self: CheckpointManager, step: int, *, metrics: Mapping[str, float], **objects: Any) -> Path:
        return save(self, step, metrics=metrics, **objects) if step < 5 else self.folder / f"step-{step}"

    kill_manager.prepare(tmp_path / "prepared")
    monkeypatch.setattr(kill_manager, "LATEST", 3.0)  # late enough for some of them to end by themselves
    monkeypatch.setattr(CheckpointManager, "save", forgetful)
    monkeypatch.setattr(kill_manager, "left_over", lambda folder, newest: [])
    tally = kill_manager.run(tmp_path / "run", 3, 4, random.Random(0), background=False)
    assert tally.counts["kills"] == 3
    assert tally.counts["older"] > 0


def test_names_that_belong_to_no_checkpoint_are_left_over(tmp_path: Path) -> None:
    """Locks and drafts are hidden, and add up in silence."""
    kill_manager.prepare(tmp_path / "run")
    newest = max(saved.step for saved in kill_manager.manager_of(tmp_path / "run").checkpoints)
    assert kill_manager.left_over(tmp_path / "run", newest) == []
    (tmp_path / "run" / ".step-1.lock").touch()
    (tmp_path / "run" / f"step-{newest}" / "stray").touch()
    os.unlink(tmp_path / "run" / "best")
    assert kill_manager.left_over(tmp_path / "run", newest) == [".step-1.lock", "best", f"step-{newest}/stray"]
