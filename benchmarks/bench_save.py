"""How long does a sealed save take beside `safetensors.torch.save_file` and `torch.save`, with and without waiting for the disk?

Each contestant writes the same model to a path of its own. Before anything is timed, what each of them wrote is read back and
compared. Without waiting: the file is in the page cache when the call returns. With waiting: file and folder are synced, which
the peers do not do by themselves, so that it is done for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import Table, in_turn, paired_ratio, peak_private_bytes, record, timed
from benchmarks.models import bag, bytes_of

if TYPE_CHECKING:
    import torch

NAME = "save"
OURS, SAFETENSORS, TORCH = "intact.save", "safetensors save_file", "torch.save"
SIZES = ((100_000_000, 50), (500_000_000, 200), (2_000_000_000, 400), (20_000_000, 20_000))


def run(folder: Path, size_bytes: int, tensors: int, rounds: int) -> list[Table]:
    """Returns the tables of one size: without waiting for the disk, and with.

    Args:
        folder: Where the files are written.
        size_bytes: Of the model.
        tensors: How many.
        rounds: Runs of each contestant.
    """
    model = bag(size_bytes, tensors)
    sizes: dict[str, int | str] = {"file_bytes": bytes_of(model), "tensors": tensors}
    tables = []
    for title, durable in (("in the page cache", False), ("on the disk", True)):
        contestants = _contestants(folder, model, durable=durable)
        _agree(folder, model, contestants)
        rows = in_turn({name: _fresh(folder, name, call) for name, call in contestants.items()}, rounds)
        tables.append(Table(f"save, {title}", rows, sizes))
    return tables


def _contestants(folder: Path, model: torch.nn.Module, *, durable: bool) -> dict[str, Callable[[], object]]:
    import safetensors.torch
    import torch

    import intact

    def synced(path: Path) -> None:
        for place in (path, path.parent) if durable else ():
            descriptor = os.open(place, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def by_safetensors() -> None:
        path = _path(folder, SAFETENSORS)
        safetensors.torch.save_file(model.state_dict(), path, {"format": "pt"})
        synced(path)

    def by_torch() -> None:
        path = _path(folder, TORCH)
        torch.save(model.state_dict(), path)
        synced(path)

    return {
        OURS: lambda: intact.save(model, _path(folder, OURS), durable=durable),
        SAFETENSORS: by_safetensors,
        TORCH: by_torch,
    }


def _path(folder: Path, name: str) -> Path:
    return folder / {OURS: "sealed.safetensors", SAFETENSORS: "plain.safetensors", TORCH: "model.pth"}[name]


def _fresh(folder: Path, name: str, call: Callable[[], object]) -> Callable[[], float]:
    """Times a save to a path where nothing stands, with nothing of earlier saves left to be written."""

    def run() -> float:
        _path(folder, name).unlink(missing_ok=True)
        os.sync()
        return timed(call)

    return run


def _agree(folder: Path, model: torch.nn.Module, contestants: dict[str, Callable[[], object]]) -> None:
    import torch
    from safetensors.torch import load_file

    wanted = model.state_dict()
    for name, call in contestants.items():
        call()
        path = _path(folder, name)
        read = torch.load(path, mmap=True) if path.suffix == ".pth" else load_file(path)
        assert read.keys() == wanted.keys(), f"{name} wrote other keys"
        assert all(torch.equal(read[key], wanted[key]) for key in wanted), f"{name} wrote other values"


def peak_share(folder: Path, size_bytes: int, tensors: int) -> float:
    """Returns the private memory that a save needs at its peak, as a share of the model's bytes."""
    import intact

    model = bag(size_bytes, tensors)
    path = folder / "peak.safetensors"
    intact.save(model, path)
    return peak_private_bytes(lambda: intact.save(model, path)) / bytes_of(model)


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    tables: list[Table] = []
    for size_bytes, tensors in SIZES:
        tables += run(folder, size_bytes, tensors, rounds=5 if size_bytes > 10**9 else 9)
    ratios = {name: [paired_ratio(table, OURS, name) for table in tables] for name in (SAFETENSORS, TORCH)}
    share = peak_share(folder, 500_000_000, 200)
    said = "; ".join(
        f"{table.title.split(', ')[1]}, {table.parameters['tensors']} tensors: {a:.2f} of safetensors, {b:.2f} of torch.save"
        for table, a, b in zip(tables, ratios[SAFETENSORS], ratios[TORCH], strict=True)
    )
    answer = f"`intact.save` takes (medians of ratios) {said}; it needs {share:.1%} of the model's bytes beside the model"
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "nothing left to be written before each run", tables, folder)
