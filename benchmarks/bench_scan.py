"""How long does it take to look through 10,000 small checkpoints for what must not be unpickled, beside picklescan?

Both are run as commands, from their start to their end, over the same files in the page cache; both find the one file among
them that runs something. `picklescan` is taken from the path, or from the folder that `PICKLESCAN` names; without it there is
nothing to compare.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import Table, in_turn, process, record

NAME = "scan"


class _Payload:
    def __reduce__(self) -> Any:
        return os.system, ("exit 0",)


def run(folder: Path, files: int = 10_000, rounds: int = 5) -> list[Table]:
    """Returns one table.

    Args:
        folder: Where the files are written.
        files: How many.
        rounds: Runs of each contestant.
    """
    import torch

    models = folder / "models"
    for number in range(files):
        place = models / str(number % 100)
        place.mkdir(parents=True, exist_ok=True)
        torch.save(torch.nn.Linear(8, 4).state_dict(), place / f"{number}.pth")
    (models / "0" / "bad.pkl").write_bytes(pickle.dumps(_Payload()))
    peer = shutil.which("picklescan", path=os.environ.get("PICKLESCAN") or None)
    if peer is None:
        raise RuntimeError("picklescan is not installed: pip install picklescan in an environment of its own, and set PICKLESCAN")
    contestants = {
        "intact scan": [sys.executable, "-m", "intact", "scan", "-q", str(models)],
        "picklescan": [peer, "-p", str(models)],
    }
    for name, command in contestants.items():
        printed = process(command, folder)[2]
        assert "1 unsafe" in printed or "Infected files: 1" in printed, f"{name}: {printed}"
    runs = {name: partial(_seconds, command, folder) for name, command in contestants.items()}
    rows = in_turn(runs, rounds)
    return [Table("10,000 files", rows, {"files": files + 1})]


def _seconds(command: list[str], folder: Path) -> float:
    return process(command, folder)[0]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    ours, theirs = (row.median_s for row in table.rows)
    answer = f"`intact scan` looks at {theirs / ours:.1f} files in the time in which picklescan looks at one"
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
