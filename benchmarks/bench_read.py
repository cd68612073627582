"""How long does `intact.read` take for 1 GB of weights, every byte touched, compared with the libraries that wrote the file?

Each contestant opens the file, gets every tensor and sums all elements as integers, so that every byte is read. The sums of all
contestants must be equal. The file is in the page cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measuring import Table, in_turn, record, timed

NAME = "read"


def touched(state: Mapping[str, Any]) -> int:
    """Returns a sum over every byte of a state dict."""
    import torch

    return sum(int(tensor.view(torch.int64).sum()) for tensor in state.values())


def run(folder: Path, tensors: int = 64, rows: int = 4096, rounds: int = 9) -> list[Table]:
    """Returns one table for each container.

    Args:
        folder: Where the files are written.
        tensors: How many tensors each file has.
        rows: First dimension of each; the second is 1,024, the dtype float32.
        rounds: Runs of each contestant.
    """
    import safetensors.torch
    import torch

    import intact

    torch.manual_seed(0)
    state = {f"layers.{i}.weight": torch.randn(rows, 1024) for i in range(tensors)}
    zipped, plain = folder / "model.pth", folder / "model.safetensors"
    torch.save(state, zipped)
    safetensors.torch.save_file(state, plain)
    wanted = touched(state)
    del state
    by_container: dict[str, tuple[Path, dict[str, Callable[[], Mapping[str, Any]]]]] = {
        "torch zip": (
            zipped,
            {
                "intact.read(mmap=True)": lambda: intact.read(zipped, mmap=True),
                "torch.load(mmap=True)": lambda: torch.load(zipped, mmap=True),
                "intact.read": lambda: intact.read(zipped),
                "torch.load": lambda: torch.load(zipped),
            },
        ),
        "safetensors": (
            plain,
            {
                "intact.read(mmap=True)": lambda: intact.read(plain, mmap=True),
                "safetensors.torch.load_file": lambda: safetensors.torch.load_file(plain),
                "intact.read": lambda: intact.read(plain),
            },
        ),
    }
    tables = []
    for container, (path, readers) in by_container.items():
        for name, reader in readers.items():
            assert touched(reader()) == wanted, f"{name} reads other values"
        runs = {name: lambda reader=reader: timed(lambda: touched(reader())) for name, reader in readers.items()}
        sizes: dict[str, int | str] = {"file_bytes": path.stat().st_size, "tensors": tensors}
        tables.append(Table(f"{container}, every byte touched", in_turn(runs, rounds), sizes))
    return tables


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    tables = run(folder)
    ratios = [
        f"{table.rows[0].median_s / table.rows[1].median_s:.2f} times {table.rows[1].contestant} ({table.title.split(',')[0]})"
        for table in tables
    ]
    answer = f"`intact.read(mmap=True)` takes {' and '.join(ratios)}"
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", tables, folder)
