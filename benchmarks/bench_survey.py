"""How long does it take to count what all values of a checkpoint are like, beside reading the same bytes?

The survey yields for every tensor its special values, range, mean, spread, the narrower dtype that would hold it, and a digest.
numpy's sum of the same bytes as 64-bit integers, on as many threads, is the speed of the memory; the same figures one by one in
numpy are what somebody would write who needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import Table, in_turn, peak_private_bytes, record, timed

NAME = "survey"
DTYPES = ("float32", "bfloat16", "float16")


def run(folder: Path, tensors: int = 64, rows: int = 4096, rounds: int = 5) -> list[Table]:
    """Returns one table for each dtype.

    Args:
        folder: Where the files are written.
        tensors: How many tensors a file has.
        rows: First dimension of each; the second is 1,024.
        rounds: Runs of each contestant.
    """
    import torch
    from safetensors.torch import save_file

    tables = []
    for dtype in DTYPES:
        torch.manual_seed(0)
        path = folder / f"{dtype}.safetensors"
        save_file({f"layers.{i}.weight": torch.randn(rows, 1024).to(getattr(torch, dtype)) for i in range(tensors)}, path)
        contestants: dict[str, Callable[[], Any]] = {
            "the survey": partial(_surveyed, path, tensors),
            "every byte, summed by numpy": partial(_summed, path),
            "the same figures, one after the other": partial(_by_hand, path, dtype),
        }
        peaks = {name: peak_private_bytes(call) for name, call in contestants.items()}
        rows_ = in_turn({name: partial(timed, call) for name, call in contestants.items()}, rounds)
        sizes: dict[str, int | str] = {"file_bytes": path.stat().st_size, "tensors": tensors}
        tables.append(Table(dtype, tuple(replace(row, peak_bytes=peaks[row.contestant]) for row in rows_), sizes))
    return tables


def _surveyed(path: Path, tensors: int) -> None:
    from intact.containers import open_container
    from intact.statistics_survey import surveyed

    with closing(open_container(path)) as container:
        found = surveyed(container)
    assert len(found) == tensors
    assert all(row.digest and abs(row.mean) < 0.1 for row in found.values())


def _summed(path: Path) -> None:
    import mmap

    import numpy as np

    from intact.files.digests import in_shares

    with path.open("rb") as stream, closing(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)) as data:
        begin = 8 + int.from_bytes(data[:8], "little")
        numbers = np.frombuffer(data, np.uint64, offset=begin)
        parts = np.array_split(numbers, 64)

        def sums(share: Sequence[Any]) -> None:
            for part in share:
                part.sum()

        in_shares(parts, [part.nbytes for part in parts], sums)
        del numbers, parts


def _by_hand(path: Path, dtype: str) -> None:
    """What a careful script does: it widens, and asks numpy for each figure; torch reads bfloat16, which numpy does not know."""
    import numpy as np
    from safetensors.torch import load_file

    for value in load_file(path).values():
        raw = value.float().numpy()
        counts = (np.isnan(raw).sum(), np.isposinf(raw).sum(), np.isneginf(raw).sum(), (raw == 0).sum())
        denormal = ((np.abs(raw) < np.finfo(np.float32).tiny) & (raw != 0)).sum()
        assert not sum(counts) or dtype != "float32" or denormal >= 0
        assert raw.min() < raw.mean() < raw.max()
        assert raw.std() > 0


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    tables = run(folder)
    said = []
    for table in tables:
        ours, memory, by_hand = (row.median_s for row in table.rows)
        speed = int(table.parameters["file_bytes"]) / 2**30 / ours
        said.append(
            f"{table.title}: {speed:.1f} GiB/s, {memory / ours:.0%} of the speed of reading, {by_hand / ours:.1f} times a script"
        )
    return record(NAME, (__doc__ or "").splitlines()[0], "; ".join(said), "warm", tables, folder)
