"""How long does a 2 GB checkpoint of torch take to become safetensors, and in how much memory, beside the libraries that do
both halves?

`intact.convert` checks the CRC-32 of the input, writes a sealed file, waits for the disk, and reads it back against its
digests; it is also measured against the same libraries with `os.fsync` after them, because they do not wait. Every contestant
writes the same values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.measuring import Table, in_turn, peak_private_bytes, record, timed

NAME = "convert"


def run(folder: Path, tensors: int = 128, rows: int = 4096, rounds: int = 5) -> list[Table]:
    """Returns one table.

    Args:
        folder: Where the files are written.
        tensors: How many tensors the file has.
        rows: First dimension of each; the second is 1,024, the dtype float32.
        rounds: Runs of each contestant.
    """
    import torch
    from safetensors.torch import load_file, save_file

    import intact

    torch.manual_seed(0)
    source, target = folder / "model.pth", folder / "model.safetensors"
    torch.save({f"layers.{i}.weight": torch.randn(rows, 1024) for i in range(tensors)}, source)

    def ours() -> None:
        intact.convert(source, target, overwrite=True)

    def theirs() -> None:
        save_file(torch.load(source, weights_only=True), target)

    def waiting() -> None:
        theirs()
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    contestants: dict[str, Callable[[], None]] = {
        "intact.convert": ours,
        "torch.load + save_file": theirs,
        "torch.load + save_file + fsync": waiting,
    }
    sums = []
    for call in contestants.values():
        call()
        sums.append(sum(int(value.view(torch.int32).sum()) for value in load_file(target).values()))
    assert len(set(sums)) == 1
    peaks = {name: peak_private_bytes(call) for name, call in contestants.items()}
    rows_ = in_turn({name: partial(timed, call) for name, call in contestants.items()}, rounds)
    sizes: dict[str, int | str] = {"file_bytes": source.stat().st_size, "tensors": tensors}
    with_peaks = tuple(replace(row, peak_bytes=peaks[row.contestant]) for row in rows_)
    return [Table("torch zip to safetensors", with_peaks, sizes)]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    ours, theirs, waiting = (row.median_s for row in table.rows)
    peaks = [f"{row.peak_bytes / 2**20:,.0f} MiB" for row in table.rows[:2]]
    answer = (
        f"`intact.convert` takes {ours / theirs:.2f} times torch.load + save_file, {ours / waiting:.2f} times where these wait "
        f"for the disk too, in {peaks[0]} of memory beside {peaks[1]}"
    )
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
