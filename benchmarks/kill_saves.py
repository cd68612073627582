"""What does a path hold after the process that saves over it was killed at any moment?

    python -m benchmarks.kill_saves [--kills 500] [--mib 48] [--seed 0] [--folder FOLDER] [--json PATH]

A parent with everything imported forks a process that saves one state over another, and kills it at a moment drawn evenly from
the time that a whole save takes. What the path then gives is compared bit for bit with both states. Then a save is left alone: it
must leave nothing in the folder but what belongs to it. In a second round two processes save two states at once, and both are
killed at one moment.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.tallying import keep, place_of, table

NAME = "kill_saves"
State = Mapping[str, Any]
SHARDS = 3
COLUMNS = ("kills", "old whole", "new whole", "lost", "mixed", "broken", "told", "left over")
"""`told`: how many of the lost, mixed and broken ones an error on reading gives away. `left over`: files that the next
save, which is left alone, finds and leaves."""

TENSORS, COLUMN_COUNT = 12, 1024
LATEST = 1.1
"""Moments reach a little beyond the usual time of a save: some saves take longer, and the very end counts too."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to save and read.

    Attributes:
        name: What it is called.
        save: Writes a state over what the folder holds.
        read: Returns the state that the folder holds.
        files: How many files a whole checkpoint has.
    """

    name: str
    save: Callable[[State, Path], object]
    read: Callable[[Path], State]
    files: int


@dataclass
class Tally:
    """What became of the saves of one way."""

    counts: Counter[str] = field(default_factory=Counter)
    save_s: float = 0.0

    def row(self) -> dict[str, object]:
        """Returns the counts with the time of a whole save."""
        return {**self.counts, "save_ms": round(self.save_s * 1e3, 1)}


def state_of(seed: int, rows: int) -> dict[str, Any]:
    """Returns tensors whose every value tells which save they are of."""
    import torch

    torch.manual_seed(seed)
    return {f"layers.{i}.weight": torch.randn(rows, COLUMN_COUNT) for i in range(TENSORS)}


def ways() -> list[Way]:
    """Returns ours first, then the peers."""
    import safetensors.torch
    import torch

    import intact

    def save_shards(state: State, folder: Path) -> None:
        for number, keys in enumerate(_parts(state)):
            safetensors.torch.save_file({key: state[key] for key in keys}, folder / _shard(number))
        weight_map = {key: _shard(number) for number, keys in enumerate(_parts(state)) for key in keys}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    def read_shards(folder: Path) -> State:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        found: dict[str, Any] = {}
        for shard in sorted(set(index["weight_map"].values())):
            found.update(safetensors.torch.load_file(folder / shard))
        return {key: found[key] for key in index["weight_map"]}

    def save_set(state: State, folder: Path) -> None:
        size = sum(tensor.nbytes for tensor in state.values())
        intact.save(dict(state), folder / "model.safetensors", max_shard_bytes=-(-size // SHARDS))

    return [
        Way("intact.save, one file", lambda s, d: intact.save(dict(s), d / "model.safetensors"), _sealed("model.safetensors"), 1),
        Way("intact.save, 3 shards", save_set, _sealed("model.safetensors.index.json"), SHARDS + 1),
        Way("torch.save", lambda s, d: torch.save(dict(s), d / "model.pth"), lambda d: torch.load(d / "model.pth"), 1),
        Way("safetensors, 3 shards in place", save_shards, read_shards, SHARDS + 1),
    ]


def _sealed(name: str) -> Callable[[Path], State]:
    def read(folder: Path) -> State:
        import intact

        report = intact.verify(folder / name)
        if report.verdict != "intact":
            raise intact.IntactError(f"not intact: {report.verdict}")
        state: State = intact.read(folder / name)
        return state

    return read


def _parts(state: State) -> list[list[str]]:
    keys = list(state)
    size = -(-len(keys) // SHARDS)
    return [keys[begin : begin + size] for begin in range(0, len(keys), size)]


def _shard(number: int) -> str:
    return f"model-{number + 1:05d}-of-{SHARDS:05d}.safetensors"


def start(save: Callable[[], object]) -> tuple[int, int]:
    """Forks a process that saves; returns it and a file that gives one byte when the save begins and another when it is done."""
    heard, said = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 where other threads run: the child uses none of them
        process = os.fork()
    if process:
        os.close(said)
        return process, heard
    try:
        os.write(said, b"b")
        save()
        os.write(said, b"e")
    finally:
        os._exit(0)


def duration_s(save: Callable[[], object]) -> float:
    """Returns how long a whole save takes in a process like those that are killed, the median of five."""
    runs = []
    for _ in range(5):
        process, heard = start(save)
        os.read(heard, 1)
        began = time.perf_counter()
        done = os.read(heard, 1)
        runs.append(time.perf_counter() - began)
        os.close(heard)
        os.waitpid(process, 0)
        assert done == b"e", "the save itself failed"
    return statistics.median(runs)


def kill_at(moment_s: float, saves: Sequence[Callable[[], object]]) -> None:
    """Starts saves at once and kills all of them after some seconds."""
    started = [start(save) for save in saves]
    for _, heard in started:
        os.read(heard, 1)
    end = time.perf_counter() + moment_s
    while (left := end - time.perf_counter()) > 0:
        time.sleep(left)
    for process, _ in started:
        os.kill(process, signal.SIGKILL)
    for process, heard in started:
        os.waitpid(process, 0)
        os.close(heard)


def judge(way: Way, folder: Path, old: State, new: Sequence[State]) -> tuple[str, bool]:
    """Returns what the folder holds, and whether reading it raised an error."""
    if not any(path.stat().st_size for path in folder.iterdir() if path.is_file()):
        return "lost", True
    try:
        found = way.read(folder)
    except Exception as error:  # noqa: BLE001 - whichever error the reader of a broken file has
        return "lost" if isinstance(error, FileNotFoundError) else "broken", True
    if equal(found, old):
        return "old whole", False
    if any(equal(found, state) for state in new):
        return "new whole", False
    known = [old, *new]
    mixed = set(found) == set(old) and all(any(equal_at(key, found, state) for state in known) for key in found)
    return "mixed" if mixed else "broken", False


def equal(a: State, b: State) -> bool:
    """Returns whether two states have the same keys and bits."""
    return set(a) == set(b) and all(equal_at(key, a, b) for key in a)


def equal_at(key: str, a: State, b: State) -> bool:
    """Returns whether two states have the same bits at a key."""
    import torch

    x, y = a[key], b[key]
    return x.shape == y.shape and torch.equal(x.view(torch.int32), y.view(torch.int32))


def run(way: Way, folder: Path, kills: int, states: Sequence[State], rng: random.Random, writers: int = 1) -> Tally:
    """Kills the saves of one way and returns what became of the path.

    Args:
        way: How it saves.
        folder: An empty folder.
        kills: How many saves are killed.
        states: At least one more than there are writers.
        rng: Draws the moments.
        writers: How many save at once.
    """
    current = 0
    way.save(states[0], folder)
    tally = Tally(save_s=duration_s(lambda: way.save(states[0], folder)))
    for _ in range(kills):
        others = [state for number, state in enumerate(states) if number != current][:writers]
        moment_s = rng.uniform(0, LATEST * tally.save_s * writers)
        kill_at(moment_s, [lambda state=state: way.save(state, folder) for state in others])  # type: ignore[misc]
        kind, told = judge(way, folder, states[current], others)
        tally.counts.update({"kills": 1, kind: 1, "told": int(told)})
        current = rng.randrange(len(states))
        way.save(states[current], folder)
        tally.counts["left over"] += len(list(folder.iterdir())) - way.files
        if tally.counts["left over"]:
            shutil.rmtree(folder)  # thousands of them would fill the disk
            folder.mkdir()
            way.save(states[current], folder)
    return tally


def measure(folder: Path, kills: int, rows: int, seed: int) -> dict[str, dict[str, dict[str, object]]]:
    """Returns the counts of every way with one writer and with two."""
    import torch

    torch.set_num_threads(1)  # a fork has the records of the parent's threads, and not the threads
    states = [state_of(number, rows) for number in range(3)]
    found: dict[str, dict[str, dict[str, object]]] = {}
    for writers, title in ((1, "one writer"), (2, "two writers at once")):
        rng = random.Random(seed)
        found[title] = {}
        for way in ways():
            place = folder / f"{writers}-{way.name.replace(' ', '-')}"
            place.mkdir()
            found[title][way.name] = run(way, place, kills, states, rng, writers).row()
            shutil.rmtree(place)
        print(table(title, (*COLUMNS, "save_ms"), found[title]), end="\n\n", flush=True)
    return found


def answer(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Returns what the counts say in one sentence."""
    parts: dict[str, list[int]] = {}
    for rows in found.values():
        for name, row in rows.items():
            total = parts.setdefault(name, [0, 0])
            total[0] += row.get("lost", 0) + row.get("mixed", 0) + row.get("broken", 0)
            total[1] += row["kills"]
    return "; ".join(f"{name}: {bad:,} of {kills:,} kills left neither checkpoint" for name, (bad, kills) in parts.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the counts and keeps them; 1 where a save of ours was not atomic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500, help="killed saves for each way, with one writer and with two")
    parser.add_argument("--mib", type=int, default=48, help="size of a checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files lie; a temporary folder otherwise")
    parser.add_argument("--json", type=Path, default=place_of(NAME), help="where the counts are kept")
    args = parser.parse_args(arguments)
    rows = max(1, args.mib * 2**20 // (4 * COLUMN_COUNT * TENSORS))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(Path(folder), args.kills, rows, args.seed)
        question = (__doc__ or "").splitlines()[0]
        parameters = {"kills": args.kills, "checkpoint_bytes": rows * 4 * COLUMN_COUNT * TENSORS, "seed": args.seed}
        keep(args.json, question, answer(found), Path(folder), {"parameters": parameters, "counts": found})
    ours = [row for rows in found.values() for name, row in rows.items() if name.startswith("intact")]
    return 1 if any(row.get(kind, 0) for row in ours for kind in ("lost", "mixed", "broken", "left over")) else 0


if __name__ == "__main__":
    sys.exit(main())
