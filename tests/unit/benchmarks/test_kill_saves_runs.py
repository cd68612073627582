"""Killing saves at small size: ours are whole, and what is not whole would be noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import kill_saves
from benchmarks.kill_saves import Way

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and killed as Linux does it")


def test_killed_saves_of_ours_are_whole_and_leave_nothing(tmp_path: Path) -> None:
    """A few kills of each way, with one writer and with two; the table and the record name all of them."""
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "benchmarks.kill_saves", "--kills", "8", "--mib", "2", "--json", str(record)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = json.loads(record.read_text())["counts"]
    assert list(counts) == ["one writer", "two writers at once"]
    for rows in counts.values():
        assert len(rows) == 4
        for name, row in rows.items():
            assert row["kills"] == 8
            if name.startswith("intact"):
                assert row.get("old whole", 0) + row.get("new whole", 0) == 8
            assert name in done.stdout


OLD, NEW, OTHER = ({"a": torch.full((2,), value), "b": torch.full((2,), value)} for value in (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (OLD, ("old whole", False)),
        (NEW, ("new whole", False)),
        ({"a": OLD["a"], "b": NEW["b"]}, ("mixed", False)),
        ({"a": OLD["a"], "b": torch.zeros(2)}, ("broken", False)),
        ({"a": OLD["a"]}, ("broken", False)),
        (ValueError("half a file"), ("broken", True)),
        (FileNotFoundError("none"), ("lost", True)),
    ],
)
def test_what_a_killed_save_leaves_is_called_by_its_name(
    found: Mapping[str, Any] | Exception, kind: tuple[str, bool], tmp_path: Path
) -> None:
    """The worst case is the one that reads without an error and is neither state."""

    def read(folder: Path) -> Mapping[str, Any]:
        if isinstance(found, Exception):
            raise found
        return found

    (tmp_path / "x").write_bytes(b"x")
    assert kill_saves.judge(Way("", lambda state, folder: None, read, 1), tmp_path, OLD, [NEW]) == kind
    (tmp_path / "x").write_bytes(b"")
    assert kill_saves.judge(Way("", lambda state, folder: None, read, 1), tmp_path, OLD, [NEW]) == ("lost", True)


def test_a_save_that_writes_in_place_is_caught(tmp_path: Path) -> None:
    """A run that cannot tell a good way from a bad one proves nothing."""
    import random

    def save(state: Mapping[str, Any], folder: Path) -> None:
        with open(folder / "x", "wb", buffering=0) as file:
            for key in ("a", "b"):
                for value in state[key].tolist() * 20_000:
                    file.write(bytes([int(value)]))

    def read(folder: Path) -> Mapping[str, Any]:
        content = (folder / "x").read_bytes()
        if len(content) != 80_000:
            raise ValueError("half a file")
        return {"a": torch.full((2,), float(content[0])), "b": torch.full((2,), float(content[-1]))}

    tally = kill_saves.run(Way("in place", save, read, 1), tmp_path, 5, [OLD, NEW, OTHER], random.Random(0))
    assert tally.counts["kills"] == 5
    assert tally.counts["broken"] + tally.counts["lost"] > 0
