"""How long does it take to learn what a file of 5 GB holds, and how much memory, from a cold start of the program?

The files are sparse: a header and holes, because describing reads no tensor bytes. Each contestant is a process of its own that
prints key, dtype and shape of every tensor; all must print the same.
"""

from __future__ import annotations

import json
import statistics
import struct
import sys
from pathlib import Path

from benchmarks.measuring import Row, Table, in_turn, process, record

NAME = "inspect"
PEERS = {
    "safetensors": (
        "safe_open, numpy",
        """
from safetensors import safe_open
with safe_open("model.safetensors", "np") as f:
    rows = [(k, {"F32": "float32"}[f.get_slice(k).get_dtype()], list(f.get_slice(k).get_shape())) for k in f.keys()]
""",
    ),
    "torch zip": (
        "torch.load(mmap=True)",
        """
import torch
state = torch.load("model.pth", mmap=True)
rows = [(k, str(v.dtype).removeprefix("torch."), list(v.shape)) for k, v in state.items()]
""",
    ),
}
FILES = {"safetensors": "model.safetensors", "torch zip": "model.pth"}
LIST = "import json\nprint(json.dumps(sorted([k, d, s] for k, d, s in rows)))"
OURS = """
import sys, intact
rows = [(k, t.dtype, list(t.shape)) for k, t in intact.inspect({file!r}).found.tensors.items()]
assert "torch" not in sys.modules
"""
COMMAND = """
import sys
from intact.cli.main import main
try:
    main(["inspect", {file!r}])
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
assert "torch" not in sys.modules, "inspect imported torch"
"""


def make_files(folder: Path, tensors: int, rows: int) -> int:
    """Writes both files with float32 tensors of `[rows, 1024]` and returns the bytes of the tensors."""
    import torch

    each = rows * 1024 * 4
    header = {
        f"layers.{i}.weight": {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [i * each, (i + 1) * each]}
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    with open(folder / FILES["safetensors"], "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + tensors * each)
    with torch.serialization.skip_data():  # reserves the room of every storage and writes none of it
        torch.save({f"layers.{i}.weight": torch.empty(rows, 1024) for i in range(tensors)}, folder / FILES["torch zip"])
    return tensors * each


def measure(folder: Path, container: str, rounds: int) -> Table:
    """Returns the times of `intact inspect` and of the container's own library on one file."""
    name, peer = PEERS[container]
    file = FILES[container]
    commands = {
        f"intact inspect {file}": [sys.executable, "-m", "intact", "inspect", file],
        name: [sys.executable, "-c", peer + LIST],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    listed = [process([sys.executable, "-c", code + LIST], folder)[2] for code in (OURS.format(file=file), peer)]
    assert listed[0] == listed[1], "the contestants disagree about what the file holds"
    process([sys.executable, "-c", COMMAND.format(file=file)], folder)
    peaks = {key: process(command, folder)[1] for key, command in commands.items()}
    runs = {key: lambda command=command: process(command, folder)[0] for key, command in commands.items()}
    rows = tuple(Row(row.contestant, row.runs_s, peaks[row.contestant]) for row in in_turn(runs, rounds))
    return Table(container, rows, {"file_bytes": (folder / file).stat().st_size, "tensors": len(json.loads(listed[0]))})


def run(folder: Path, tensors: int = 320, rows: int = 4096, rounds: int = 9) -> list[Table]:
    """Returns one table for each container.

    Args:
        folder: Where the files are written.
        tensors: How many tensors each file has.
        rows: First dimension of each; the second is 1,024.
        rounds: Runs of each contestant.
    """
    make_files(folder, tensors, rows)
    return [measure(folder, container, rounds) for container in FILES]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    tables = run(folder)
    figures = [
        f"{statistics.median(t.rows[0].runs_s):.2f} s and {t.rows[0].peak_bytes / 2**20:.0f} MiB for {t.title}" for t in tables
    ]
    gib = int(tables[0].parameters["file_bytes"]) / 2**30
    answer = f"`intact inspect` on {gib:.0f} GiB: {', '.join(figures)}; torch is not imported"
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm: headers only are read", tables, folder)
