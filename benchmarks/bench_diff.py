"""How long does it take to compare two checkpoints of 2 GB, beside reading both?

The second file is the first one trained on (every value moved a little), the same values in another container, or another dtype.
Whoever reads both with torch and sums every element has read every byte and compared nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench_read import touched
from benchmarks.measuring import Table, in_turn, peak_private_bytes, record, timed

NAME = "diff"


def run(folder: Path, tensors: int = 128, rows: int = 4096, rounds: int = 5) -> list[Table]:
    """Returns one table.

    Args:
        folder: Where the files are written.
        tensors: How many tensors each file has.
        rows: First dimension of each; the second is 1,024, the dtype float32.
        rounds: Runs of each contestant.
    """
    import torch
    from safetensors.torch import save_file

    import intact

    torch.manual_seed(0)
    first, moved, same = folder / "first.pth", folder / "moved.pth", folder / "same.safetensors"
    state = {f"layers.{i}.weight": torch.randn(rows, 1024) for i in range(tensors)}
    torch.save(state, first)
    save_file(state, same)
    torch.save({key: value.add_(value, alpha=1e-3) for key, value in state.items()}, moved)
    del state

    def compared(other: Path, changed: int) -> None:
        found = intact.diff(first, other)
        assert len(found.changed) == changed
        assert found.same_weights == (changed == 0)

    def read_both() -> None:
        touched(torch.load(first, weights_only=True))
        touched(torch.load(moved, weights_only=True))

    contestants: dict[str, Callable[[], None]] = {
        "intact.diff, every value moved": partial(compared, moved, tensors),
        "intact.diff, the same in another container": partial(compared, same, 0),
        "torch.load of both, every byte touched": read_both,
    }
    peaks = {name: peak_private_bytes(call) for name, call in contestants.items()}
    rows_ = in_turn({name: partial(timed, call) for name, call in contestants.items()}, rounds)
    sizes: dict[str, int | str] = {"file_bytes": first.stat().st_size, "tensors": tensors}
    return [Table("two files", tuple(replace(row, peak_bytes=peaks[row.contestant]) for row in rows_), sizes)]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    moved, same, both = (row.median_s for row in table.rows)
    peak = max(row.peak_bytes for row in table.rows[:2]) / 2**20
    answer = (
        f"where every value moved, {moved / both:.2f} times as long as torch takes to read both, and {same / both:.2f} where "
        f"they are the same weights; in {peak:,.0f} MiB of memory"
    )
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
