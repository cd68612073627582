"""How long does it take to read 2 GB that torch wrote with every CRC-32 checked, beside torch, which does not look?

Each contestant gets every tensor and sums all elements, so that every byte is read. `intact.verify` holds all records against
their CRC-32 first. The file is in the page cache.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_read import touched
from benchmarks.measuring import Table, in_turn, record, timed

NAME = "crc"


def run(folder: Path, tensors: int = 128, rows: int = 4096, rounds: int = 7) -> list[Table]:
    """Returns one table.

    Args:
        folder: Where the file is written.
        tensors: How many tensors it has.
        rows: First dimension of each; the second is 1,024, the dtype float32.
        rounds: Runs of each contestant.
    """
    import torch

    import intact

    torch.manual_seed(0)
    path = folder / "model.pth"
    torch.save({f"layers.{i}.weight": torch.randn(rows, 1024) for i in range(tensors)}, path)

    def checked() -> int:
        assert intact.verify(path).verdict == "intact"
        return touched(intact.read(path, mmap=True))

    def copied() -> int:
        assert intact.verify(path).verdict == "intact"
        return touched(intact.read(path))

    contestants = {
        "intact.verify + intact.read(mmap=True)": checked,
        "torch.load": lambda: touched(torch.load(path, weights_only=True)),
        "torch.load(mmap=True)": lambda: touched(torch.load(path, weights_only=True, mmap=True)),
        "intact.verify + intact.read": copied,
        "intact.verify alone": lambda: intact.verify(path).verdict,
    }
    runs = {name: (lambda call=call: timed(call)) for name, call in contestants.items()}
    sizes: dict[str, int | str] = {"file_bytes": path.stat().st_size, "tensors": tensors}
    return [Table("torch zip, every byte touched, every CRC-32 checked by intact", in_turn(runs, rounds), sizes)]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    mapped, torch_copied, torch_mapped, copied, _ = (row.median_s for row in table.rows)
    answer = (
        f"checked and read, mapped: {mapped / torch_copied:.2f} times torch.load and {mapped / torch_mapped:.2f} times "
        f"torch.load(mmap=True); copied: {copied / torch_copied:.2f} times torch.load"
    )
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
