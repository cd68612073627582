"""A run that was killed and resumed is the run that was never interrupted: equal losses, equal bits.

One process imports torch and forks; every run, every kill and every resume is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import json, os, signal, sys
from pathlib import Path
from tests.faults.training_runs import SETUPS, STEPS, arrangement, bits_of, quiet, saving, seeded, trained
import intact, torch

def in_child(work):
    # Runs `work(tell)` in a process of its own; returns it and the lines that it tells.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            work(lambda line: os.write(writing, (json.dumps(line) + "\\n").encode()))
            status = 0
        except BaseException as error:
            os.write(writing, (json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\\n").encode())
        finally:
            os._exit(status)
    os.close(writing)
    return child, os.fdopen(reading)

def whole(name):
    def work(tell):
        seeded(0)
        run = quiet(name)
        losses = trained(run, STEPS)
        tell({"losses": losses, "bits": bits_of(run)})
    child, lines = in_child(work)
    told = json.loads(lines.readline())
    os.waitpid(child, 0)
    return told

def killed(name, folder, at):
    def work(tell):
        seeded(0)
        run = quiet(name)
        trained(run, STEPS, saving(run, folder, tell))
    child, lines = in_child(work)
    for line in lines:
        if json.loads(line) == at:
            break
    else:
        raise SystemExit(f"{name} ended before step {at}")
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)

def resumed(name, folder, arrange):
    def work(tell):
        seeded(1)
        run = quiet(name, arrangement(arrange))
        report = intact.load_into(run.objects, folder)
        begin = run.objects["step"]
        losses = trained(run, STEPS)
        codes = [finding.code for finding in report.findings]
        tell({"begin": begin, "losses": losses, "bits": bits_of(run), "codes": codes, "verdict": report.verdict})
    child, lines = in_child(work)
    told = json.loads(lines.readline())
    os.waitpid(child, 0)
    return told

torch.set_num_threads(1)
folder = Path(sys.argv[1])
first = quiet("sgd-step")
intact.save(first.objects, folder / "first", durable=False)  # what is imported and remembered here, every child has
intact.load_into(first.objects, folder / "first")
found = {}
for name in SETUPS:
    killed(name, folder / name, 5)
    found[name] = {"whole": whole(name), "resumed": resumed(name, folder / name, "")}
    for arrange in ("reversed_group", "each_alone"):
        if name not in ("adamw-warm-cosine", "lbfgs") or (name, arrange) == ("lbfgs", "reversed_group"):
            found[name][arrange] = resumed(name, folder / name, arrange)
found["adamw-warm-cosine"]["by_decay_alone"] = resumed("adamw-warm-cosine", folder / "adamw-warm-cosine", "by_decay_alone")
print(json.dumps(found))
"""

SETUPS = [
    "sgd-step",
    "adam-onecycle",
    "adamw-warm-cosine",
    "adamw-lambda",
    "lbfgs",
    "adam-scaler",
    "sgd-ema-plateau",
    "rmsprop-restarts",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every run of every set-up, told by the processes themselves."""
    if not hasattr(os, "fork"):
        pytest.skip("the runs are forked from one process, and this system cannot")
    folder = tmp_path_factory.mktemp("runs")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", SETUPS)
def test_a_killed_run_continues_bit_for_bit(runs: dict[str, Any], name: str) -> None:
    """Whatever was not restored shows in the first loss that differs."""
    whole, resumed = runs[name]["whole"], runs[name]["resumed"]
    assert "error" not in resumed, resumed
    assert resumed["begin"] >= 5
    assert resumed["losses"] == whole["losses"][resumed["begin"] :]
    assert resumed["bits"] == whole["bits"]
    assert resumed["verdict"] == "intact", resumed["codes"]


REARRANGED = [
    *((name, "reversed_group", "state/optimizer-order") for name in SETUPS if name != "adamw-warm-cosine"),
    *((name, "each_alone", "state/optimizer-groups") for name in SETUPS if name not in ("adamw-warm-cosine", "lbfgs")),
    ("adamw-warm-cosine", "by_decay_alone", "state/optimizer-groups"),
]


@pytest.mark.parametrize(("name", "arrange", "code"), REARRANGED)
def test_a_run_continues_bit_for_bit_in_other_groups(runs: dict[str, Any], name: str, arrange: str, code: str) -> None:
    """Position says nothing: each parameter gets the state that was kept for it, and the report says that it moved."""
    whole, resumed = runs[name]["whole"], runs[name][arrange]
    assert "error" not in resumed, resumed
    assert resumed["losses"] == whole["losses"][resumed["begin"] :]
    assert resumed["bits"] == whole["bits"]
    assert code in resumed["codes"]
