"""How long does training stand still for a save in the background, beside one copy of the same tensors in memory?

    python -m benchmarks.manager_stall [--mb 1000] [--rounds 9] [--json PATH]

In one process, by turns in an order drawn anew in every round: a clone of every tensor of the state dict, a copy of every tensor
over memory that is there, and `CheckpointManager.save(..., background=True)` until it returns. Before each of them the last save
has ended and the disk has everything, so that nothing else is under way. The first save of a manager, which has no memory of an
earlier one, is measured with a new manager in every round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measuring import Table, in_turn, paired_ratio, timed
from benchmarks.models import bag, bytes_of
from benchmarks.tallying import keep, place_of

NAME = "manager_stall"
NEXT, FIRST, CLONE, OVER = "save in the background", "the first one of a manager", "clone of every tensor", "copy over memory"
LIMIT = 1.2


def run(folder: Path, size_bytes: int, tensors: int, rounds: int) -> Table:
    """Returns how long each stands in the way.

    Args:
        folder: Where the checkpoints are written.
        size_bytes: Of the model.
        tensors: How many.
        rounds: Runs of each.
    """
    import intact

    model = bag(size_bytes, tensors)
    state = list(model.state_dict().values())
    own = [tensor.clone() for tensor in state]
    lasting = intact.CheckpointManager(folder / "next", keep_last=1)

    def saved(manager: intact.CheckpointManager) -> float:
        os.sync()
        seconds = timed(lambda: manager.save(0, background=True, model=model))
        manager.wait()
        return seconds

    def copied(copy: Callable[[], object]) -> float:
        os.sync()
        return timed(copy)

    contestants: dict[str, Callable[[], float]] = {
        NEXT: lambda: saved(lasting),
        FIRST: lambda: saved(intact.CheckpointManager(folder / "first", keep_last=1)),
        CLONE: lambda: copied(lambda: [tensor.clone() for tensor in state]),
        OVER: lambda: copied(lambda: [one.copy_(other) for one, other in zip(own, state, strict=True)]),
    }
    sizes: dict[str, int | str] = {"model_bytes": bytes_of(model), "tensors": tensors, "rounds": rounds}
    return Table("how long training stands still", in_turn(contestants, rounds), sizes)


def answer(table: Table) -> str:
    """Returns what the figures say in a sentence with them."""
    middle = {row.contestant: row.median_s for row in table.rows}
    return (
        f"a save in the background returns after {middle[NEXT] * 1e3:,.0f} ms, {middle[NEXT] / middle[CLONE]:.2f} of a clone of "
        f"every tensor ({middle[CLONE] * 1e3:,.0f} ms; {paired_ratio(table, NEXT, CLONE):.2f} in the median round) and "
        f"{middle[NEXT] / middle[OVER]:.2f} of a copy over memory that is there ({middle[OVER] * 1e3:,.0f} ms; "
        f"{paired_ratio(table, NEXT, OVER):.2f}); the first one after {middle[FIRST] * 1e3:,.0f} ms, "
        f"{middle[FIRST] / middle[CLONE]:.2f} of a clone"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures and keeps them; 1 where a save stands in the way for longer than it should."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000, help="size of the model in millions of bytes")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=place_of(NAME), help="where the figures are kept")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        table = run(Path(folder), args.mb * 10**6, 200, args.rounds)
        print(answer(table))
        question = (__doc__ or "").splitlines()[0]
        runs = {row.contestant: row.runs_s for row in table.rows}
        medians = {row.contestant: row.median_s for row in table.rows}
        counts = {"parameters": {**table.parameters, "threads": torch.get_num_threads()}, "median_s": medians, "runs_s": runs}
        keep(args.json, question, answer(table), Path(folder), counts)
    middle = {row.contestant: row.median_s for row in table.rows}
    return 0 if middle[NEXT] <= LIMIT * middle[CLONE] else 1


if __name__ == "__main__":
    sys.exit(main())
