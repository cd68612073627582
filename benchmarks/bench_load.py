"""How long does a verified load into an existing model take beside the unverified loads of safetensors and torch?

Each contestant puts the values of its own file into a model that is there already, the file in the page cache or dropped from it.
intact holds every byte against its digest before it touches the model; the others check nothing. Before anything is timed, what
each of them loaded is compared.
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

NAME = "load"
OURS, SAFETENSORS, TORCH = "intact.load_into, verified", "safetensors load_file + load_state_dict", "torch.load + load_state_dict"
SIZES = ((100_000_000, 50), (500_000_000, 200), (2_000_000_000, 400), (20_000_000, 20_000))
DROPPED = 1 << 30
"""Largest model whose file is dropped from the page cache: reading more would measure the disk for minutes."""


def run(folder: Path, size_bytes: int, tensors: int, rounds: int, *, cold: bool = True) -> list[Table]:
    """Returns the tables of one size: with the file in the page cache, and dropped from it.

    Args:
        folder: Where the files are written.
        size_bytes: Of the model.
        tensors: How many.
        rounds: Runs of each contestant.
        cold: Whether to time it without the page cache as well.
    """
    import torch

    saved, model = bag(size_bytes, tensors), bag(size_bytes, tensors)
    paths = _written(folder, saved)
    contestants = _contestants(paths, model)
    for name, call in contestants.items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        call()
        assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), model.parameters(), strict=True)), f"{name} loads others"
    sizes: dict[str, int | str] = {"file_bytes": bytes_of(model), "tensors": tensors}
    warm = in_turn({name: lambda call=call: timed(call) for name, call in contestants.items()}, rounds)  # type: ignore[misc]
    tables = [Table("load, in the page cache", warm, sizes)]
    if cold and size_bytes <= DROPPED:
        dropped = {name: _dropped(paths[name], call) for name, call in contestants.items()}
        tables.append(Table("load, dropped from the page cache", in_turn(dropped, rounds), sizes))
    return tables


def _written(folder: Path, model: torch.nn.Module) -> dict[str, Path]:
    import safetensors.torch
    import torch

    import intact

    paths = {OURS: folder / "sealed.safetensors", SAFETENSORS: folder / "plain.safetensors", TORCH: folder / "model.pth"}
    intact.save(model, paths[OURS])
    safetensors.torch.save_file(model.state_dict(), paths[SAFETENSORS], {"format": "pt"})
    torch.save(model.state_dict(), paths[TORCH])
    return paths


def _contestants(paths: dict[str, Path], model: torch.nn.Module) -> dict[str, Callable[[], object]]:
    import torch
    from safetensors.torch import load_file

    import intact

    return {
        OURS: lambda: intact.load_into(model, paths[OURS]),
        SAFETENSORS: lambda: model.load_state_dict(load_file(paths[SAFETENSORS])),
        TORCH: lambda: model.load_state_dict(torch.load(paths[TORCH])),
    }


def _dropped(path: Path, call: Callable[[], object]) -> Callable[[], float]:
    """Times a load of a file that is on the disk only."""

    def run() -> float:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        return timed(call)

    return run


def peak_share(folder: Path, size_bytes: int, tensors: int) -> float:
    """Returns the private memory that a load into a model needs at its peak, as a share of the model's bytes."""
    import intact

    model = bag(size_bytes, tensors)
    path = folder / "peak.safetensors"
    intact.save(model, path)
    intact.load_into(model, path)
    return peak_private_bytes(lambda: intact.load_into(model, path)) / bytes_of(model)


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    tables: list[Table] = []
    for size_bytes, tensors in SIZES:
        tables += run(folder, size_bytes, tensors, rounds=5 if size_bytes > 10**9 or tensors > 10**4 else 15)
    share = peak_share(folder, 500_000_000, 200)
    ratios = [(paired_ratio(table, OURS, SAFETENSORS), paired_ratio(table, OURS, TORCH)) for table in tables]
    said = "; ".join(
        f"{table.title.partition(', ')[2]}, {table.parameters['tensors']} tensors: {a:.2f} of safetensors, {b:.2f} of torch.load"
        for table, (a, b) in zip(tables, ratios, strict=True)
    )
    answer = (
        f"A verified `intact.load_into` takes (medians of ratios) {said}; it needs {share:.1%} of the model's bytes beside it"
    )
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "as each table says", tables, folder)
