"""How long does `intact.check` take to find one cause behind 40,000 differences, beyond importing torch?

The checkpoint has 20,000 keys that start with `module.`, and the model has the same without it. Beside it stands what somebody
who already knows the cause writes by hand (torch.load, strip the prefix, load_state_dict): it diagnoses nothing, and shows how
much work there is. Both models must hold the same values in the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measuring import Table, in_turn, record, timed

NAME = "check_prefix"
CHECK, LOAD, HAND = "intact.check", "intact.load_into", "torch.load, strip by hand, load_state_dict"


def build(keys: int) -> Any:
    """Returns a model of blocks of 50 layers, with two keys for each layer."""
    import torch

    layers = [torch.nn.Linear(4, 4) for _ in range(keys // 2)]
    return torch.nn.Sequential(*(torch.nn.Sequential(*layers[i : i + 50]) for i in range(0, len(layers), 50)))


def by_hand(model: Any, path: Path) -> None:
    """Loads as one who knows the cause does."""
    import torch

    state = torch.load(path)
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    model.load_state_dict(state)


def run(folder: Path, keys: int = 20_000, rounds: int = 7) -> list[Table]:
    """Returns the times of checking, loading, and loading by hand.

    Args:
        folder: Where the checkpoint is written.
        keys: Number of keys.
        rounds: Runs of each contestant.
    """
    import torch

    import intact

    torch.manual_seed(0)
    path = folder / "wrapped.pth"
    saved, ours, theirs = (build(keys) for _ in range(3))
    torch.save({f"module.{key}": tensor for key, tensor in saved.state_dict().items()}, path)
    report = intact.check(path, ours)
    assert [finding.code for finding in report.findings if finding.severity != "info"] == ["arch/key-prefix"], str(report)[:2000]
    intact.load_into(ours, path)
    by_hand(theirs, path)
    wanted = saved.state_dict()
    for state in (ours.state_dict(), theirs.state_dict()):
        assert all(torch.equal(tensor, state[key]) for key, tensor in wanted.items())
    contestants = {
        CHECK: lambda: timed(lambda: intact.check(path, ours)),
        LOAD: lambda: timed(lambda: intact.load_into(ours, path)),
        HAND: lambda: timed(lambda: by_hand(theirs, path)),
    }
    return [Table("one prefix on every key", in_turn(contestants, rounds), {"keys": keys, "file_bytes": path.stat().st_size})]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    answer = f"`intact.check` names the cause behind {int(table.parameters['keys']):,} keys in {table.rows[0].median_s:.2f} s"
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
