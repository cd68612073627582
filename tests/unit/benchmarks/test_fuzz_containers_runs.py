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


def test_the_files_that_were_kept_are_answered_as_they_were() -> None:
    """The smallest of every answer that a long run gave, for every container; a new answer is worth a look."""
    done = fuzz("--again", str(ROOT / "tests" / "fuzz"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(json.loads((ROOT / "tests" / "fuzz" / "answers.json").read_text())) > 100


def test_kept_files_that_are_answered_otherwise_are_noticed(tmp_path: Path) -> None:
    """A comparison that cannot differ proves nothing."""
    (tmp_path / "a-00").mkdir()
    (tmp_path / "a-00" / "m.pth").write_bytes(b"noise")
    (tmp_path / "answers.json").write_text(json.dumps({"a-00/m.pth": "read as torch-zip"}))
    done = fuzz("--again", str(tmp_path))
    assert done.returncode == 1
    assert "noted was 'read as torch-zip'" in done.stdout


def test_a_case_can_be_run_again() -> None:
    """A failure is worth what its repetition is."""
    first, second = (fuzz("--replay", "safetensors:0:17") for _ in range(2))
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stdout == second.stdout
    assert first.stdout.startswith("safetensors:0:17  ")


MISBEHAVIOUR = """
import json, os, signal, sys, tempfile, time
from pathlib import Path
from benchmarks import fuzz_containers as fuzz
from intact.errors import Damaged

def alarm(*_):
    raise fuzz.TookTooLong

signal.signal(signal.SIGALRM, alarm)
fuzz.CASE_LIMIT_S, fuzz.CASE_LIMIT_BYTES = 1, 50 * 10**6
watch, target = fuzz.Watch(), Path(tempfile.mkdtemp()) / "written"
ways = {
    "traceback": lambda path: [][1],
    "hang": lambda path: time.sleep(5),
    "writing": lambda path: target.write_text("x"),
    "running": lambda path: eval("1 + 1"),
    "import": lambda path: __import__("this_module_does_not_exist_at_all"),
    "memory": lambda path: len(b"x" * 2 * 10**8) and "read",
    "nothing": lambda path: "read as pickle",
}
failures = {}
for name, way in ways.items():
    fuzz.use = way
    failures[name] = fuzz.judge(Path("case"), 100, watch)[1]
print(json.dumps(failures))
"""


def test_every_kind_of_misbehaviour_is_noticed() -> None:
    """A fuzzer that cannot fail proves nothing."""
    done = subprocess.run([sys.executable, "-c", MISBEHAVIOUR], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    failures = json.loads(done.stdout)
    assert failures.pop("nothing") == ""
    assert "IndexError" in failures["traceback"]
    assert "no answer in 1 s" in failures["hang"]
    assert failures["writing"].startswith("caused open")
    assert failures["running"].startswith("caused")
    assert failures["import"]
    assert "bytes of memory" in failures["memory"]
