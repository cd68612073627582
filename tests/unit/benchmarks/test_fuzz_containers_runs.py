"""The fuzzer at small size: damaged files of every container end in answers, and a failure would be noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    """Runs the fuzzer as a person does."""
    command = [sys.executable, "-m", "benchmarks.fuzz_containers", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)


def test_damaged_files_of_every_container_end_in_answers(tmp_path: Path) -> None:
    """A traceback, a hang, or memory out of proportion is a failure, whatever the bytes."""
    done = fuzz("--count", "150", "--workers", "1", "--json", str(tmp_path / "tally.json"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    tally = json.loads((tmp_path / "tally.json").read_text())
    assert len(tally) >= 10
    for container, record in tally.items():
        assert sum(record["answers"].values()) == 150
        assert any(answer.startswith("read as") for answer in record["answers"]), f"every damaged {container} was refused"
        assert any(answer.startswith("file/") for answer in record["answers"]), f"no damaged {container} was refused"


def test_a_case_can_be_run_again() -> None:
    """A failure is worth what its repetition is."""
    first, second = (fuzz("--replay", "safetensors:0:17") for _ in range(2))
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stdout == second.stdout
    assert first.stdout.startswith("safetensors:0:17  ")
