"""Is the newest whole checkpoint always restored after the process that trains and saves was killed at any moment?

    python -m benchmarks.kill_manager [--kills 300] [--width 512] [--seed 0] [--folder FOLDER] [--json PATH]

A parent with everything imported forks a process that restores, and saves some steps through a `CheckpointManager`, half of the
times in the background. It says when it begins a save and when one is reported done, and is killed at a moment drawn evenly from
the time that all of it takes. Another fork, which has seen nothing of it, restores: every bit of model and optimizer is compared
with the step that the manager says. Then one save is left alone, and must leave nothing in the folder but checkpoints and links.
"""

from __future__ import annotations

import argparse
import os
import random
import re
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
from typing import TYPE_CHECKING, Any

import msgspec
from benchmarks.tallying import keep, place_of, table

if TYPE_CHECKING:
    import torch

    from intact import CheckpointManager

NAME = "kill_manager"
SAVES = 4
"""Steps that a process saves, the first one in place of the checkpoint that it went on from."""

KEEP_LAST = 2
WORST = 1e9
"""Measure of what is not there."""

LATEST = 1.1
"""Moments reach a little beyond the usual time of all saves."""

FAULTS = ("lost", "older", "changed", "passed over", "best lost", "left over")
COLUMNS = ("kills", "whole", *FAULTS, "in a save", "drafts")
"""`whole`: the newest checkpoint in the folder came back, bit for bit, and none older than the last one reported done. `older`:
one from before that. `changed`: other bits than those of its step. `in a save`: kills after a save had begun and before it was
reported done. `drafts`: kills that left hidden files for the next save to clear."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a killed process had said of its steps; -1 where it said nothing.

    Attributes:
        begun: The last step whose save began.
        done: The last step whose save was reported done.
        best: The best measure of the steps that were reported done.
    """

    begun: int = -1
    done: int = -1
    best: float = WORST


@dataclass(frozen=True, slots=True)
class Restored:
    """What a fresh process was given.

    Attributes:
        step: As the manager says; -1 where there was nothing that it restored.
        same: Whether every bit is that of the step.
        passed_over: How many checkpoints it passed over.
        newest: The newest checkpoint by the names in the folder.
        best: The measure of the best checkpoint.
        drafts: Hidden names in the folder before the next save.
        left: Names that the next save left and that are no part of the run.
    """

    step: int
    same: bool
    passed_over: int
    newest: int
    best: float
    drafts: int
    left: tuple[str, ...]


@dataclass
class Tally:
    """What became of the runs of one way to save."""

    counts: Counter[str] = field(default_factory=Counter)
    run_s: float = 0.0

    def row(self) -> dict[str, object]:
        """Returns the counts with the time of a run that is left alone."""
        return {**self.counts, "run_ms": round(self.run_s * 1e3, 1)}


def measure_of(step: int) -> float:
    """Returns what is measured at a step: neither the first nor the last is the best."""
    return float(step * 7919 % 1009)


def objects_of(step: int, width: int) -> dict[str, Any]:
    """Returns a model and an optimizer whose every value tells which step they are of."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    drawn = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=drawn))
            optimizer.state[parameter]["momentum_buffer"] = torch.randn(parameter.shape, generator=drawn)
    return {"model": model, "optimizer": optimizer}


def bits_of(objects: Mapping[str, Any]) -> list[torch.Tensor]:
    """Returns everything that a step is told by, as integers of the same bits."""
    import torch

    model, optimizer = objects["model"], objects["optimizer"]
    found: list[torch.Tensor] = []
    for parameter in model.parameters():
        found += [parameter.detach(), optimizer.state[parameter]["momentum_buffer"]]
    return [tensor.view(torch.int32) for tensor in found]


def trained(objects: Mapping[str, Any], step: int, width: int) -> None:
    """Writes the values of a step over those of the one before, in the same memory, as training does."""
    for old, new in zip(bits_of(objects), bits_of(objects_of(step, width)), strict=True):
        old.copy_(new)


def manager_of(folder: Path) -> CheckpointManager:
    """Returns the manager of the run."""
    import intact

    return intact.CheckpointManager(folder, keep_last=KEEP_LAST, best=("loss", "min"))


def _spoken(said: int, line: str) -> None:
    os.write(said, f"{line}\n".encode())


def forked(work: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """Forks a process that works; returns it and a file with the lines that it says."""
    heard, said = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 where other threads run: the child uses none of them
        process = os.fork()
    if process:
        os.close(said)
        return process, heard
    status = 1
    try:
        os.close(heard)
        work(lambda line: _spoken(said, line))
        status = 0
    finally:
        os._exit(status)


def train(folder: Path, width: int, first: int, say: Callable[[str], None], *, background: bool) -> None:
    """Saves some steps from one on, and says of each when it begins and when it is reported done."""
    manager = manager_of(folder)
    objects = objects_of(first, width)
    if first:
        manager.restore(**objects)
    say("ready")
    for step in range(first, first + SAVES):
        trained(objects, step, width)
        if background:
            manager.wait()
            if step > first:
                say(f"done {step - 1}")
        say(f"begun {step}")
        manager.save(step, metrics={"loss": measure_of(step)}, background=background, **objects)
        if not background:
            say(f"done {step}")
    manager.wait()
    say(f"done {first + SAVES - 1}")


def lines_until_killed(process: int, heard: int, moment_s: float | None) -> tuple[list[str], float]:
    """Returns what a process said until its end, and the seconds from ready on; kills it after some, where they are given."""
    with os.fdopen(heard, "r") as file:
        lines = [file.readline().strip()]
        began = time.perf_counter()
        while moment_s is not None and (left := began + moment_s - time.perf_counter()) > 0:
            time.sleep(left)
        if moment_s is not None:
            os.kill(process, signal.SIGKILL)
        lines += file.read().split("\n")
    took_s = time.perf_counter() - began
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL), f"a process of the run ended with {status}"
    return [line for line in lines if line], took_s


def said_in(lines: Sequence[str]) -> Said:
    """Returns what the lines of a process come to."""
    steps: dict[str, list[int]] = {"begun": [-1], "done": [-1]}
    for line in lines:
        word, _, number = line.partition(" ")
        if number:
            steps[word].append(int(number))
    best = min((measure_of(step) for step in steps["done"][1:]), default=WORST)
    return Said(max(steps["begun"]), max(steps["done"]), best)


def look(folder: Path, width: int, say: Callable[[str], None], *, background: bool) -> None:
    """Restores, compares, saves once, and says what became of each as one line."""
    import torch

    from intact.errors import LoadRefused

    hidden = [name for name in os.listdir(folder) if name.startswith(".")]
    newest = max((int(name[5:]) for name in os.listdir(folder) if re.fullmatch(r"step-\d+", name)), default=-1)
    manager, objects = manager_of(folder), objects_of(0, width)
    best = manager.best
    measured = {saved.path: saved.metrics["loss"] for saved in manager.checkpoints}
    try:
        report = manager.restore(**objects)
        step = -1 if manager.step is None else manager.step
        wanted = bits_of(objects_of(step, width))
        same = all(torch.equal(one, other) for one, other in zip(bits_of(objects), wanted, strict=True))
        over = sum("passed over" in finding.headline for finding in report.findings)
    except LoadRefused as error:
        step, same, over = -1, False, len(error.evidence.get("passed_over", ()))
    after = max(step, newest) + 1
    trained(objects, after, width)
    manager.save(after, metrics={"loss": measure_of(after)}, background=background, **objects)
    manager.wait()
    left = tuple(left_over(folder, after))
    found = Restored(step, same, over, newest, measured[best] if best else WORST, len(hidden), left)
    say(msgspec.json.encode(found).decode())


def left_over(folder: Path, newest: int) -> list[str]:
    """Returns names in the folder of a run, and in its checkpoints, that nobody asked for."""
    steps = {f"step-{saved.step}" for saved in manager_of(folder).checkpoints}
    own = {f"{step}/{name}" for step in steps for name in ("state.json", "model.safetensors", "optimizer.safetensors")}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    found = sorted(name for name in present ^ (steps | own | {"latest", "best"}) if not name.startswith(("latest/", "best/")))
    if len(steps) > KEEP_LAST + 1:
        found.append(f"{len(steps)} checkpoints")
    if os.readlink(folder / "latest") != f"step-{newest}":
        found.append("latest")
    return found


def faults_of(said: Said, restored: Restored) -> list[str]:
    """Returns what was wrong with what came back, none where all was well."""
    wrong = {
        "lost": restored.step < 0 <= restored.newest or restored.step < 0 <= said.done,
        "older": 0 <= restored.step < max(said.done, restored.newest),
        "changed": restored.step >= 0 and not restored.same,
        "passed over": restored.passed_over > 0,
        "best lost": restored.best > said.best,
        "left over": bool(restored.left),
    }
    return [name for name in FAULTS if wrong[name]]


def run(folder: Path, kills: int, width: int, rng: random.Random, *, background: bool) -> Tally:
    """Kills runs that save in one way, each of which goes on where the one before it ended.

    Args:
        folder: Of the run; what does not exist is made.
        kills: How many are killed.
        width: Of the layers of the model.
        rng: Draws the moments.
        background: Whether they save in the background.
    """
    tally, known, step = Tally(), Said(), 0
    undisturbed: list[float] = []
    for number in range(3 + kills):
        begin = step
        process, heard = forked(lambda say, begin=begin: train(folder, width, begin, say, background=background))  # type: ignore[misc]
        moment_s = None if number < 3 else rng.uniform(0, LATEST * tally.run_s)
        lines, took_s = lines_until_killed(process, heard, moment_s)
        now = said_in(lines)
        known = Said(now.begun, max(known.done, now.done), min(known.best, now.best))
        process, heard = forked(lambda say: look(folder, width, say, background=background))
        answers, _ = lines_until_killed(process, heard, None)
        restored = msgspec.json.decode(answers[0], type=Restored)
        step = max(restored.step, restored.newest) + 1
        saved_best = min(known.best, measure_of(step))
        if moment_s is None:
            undisturbed.append(took_s)
            tally.run_s = statistics.median(undisturbed)
        else:
            faults = faults_of(known, restored)
            counted = dict.fromkeys(faults or ["whole"], 1)
            tally.counts.update({"kills": 1, **counted, "in a save": now.begun > now.done, "drafts": restored.drafts > 0})
        known = Said(-1, step, saved_best)
    return tally


def prepare(folder: Path) -> None:
    """Does once what the forks do, on a run of its own, so that everything is imported: else they would be killed at that."""
    for background in (False, True):
        train(folder, 8, 0, lambda _: None, background=background)
        look(folder, 8, lambda _: None, background=background)


def measure(folder: Path, kills: int, width: int, seed: int) -> dict[str, dict[str, object]]:
    """Returns the counts of saves that are waited for and of saves in the background."""
    import torch

    torch.set_num_threads(1)  # a fork has the records of the parent's threads, and not the threads
    prepare(folder / "prepared")
    rng, found = random.Random(seed), {}
    for title, background in (("save", False), ("save in the background", True)):
        share = kills // 2 if background else kills - kills // 2
        found[title] = run(folder / title.replace(" ", "-"), share, width, rng, background=background).row()
    print(table("CheckpointManager", (*COLUMNS, "run_ms"), found), flush=True)
    return found


def answer(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns what the counts say in one sentence."""
    rows = found.values()
    total, whole = sum(row["kills"] for row in rows), sum(row.get("whole", 0) for row in rows)
    inside = sum(row.get("in a save", 0) for row in rows)
    return (
        f"after {whole:,} of {total:,} kills, {inside:,} of them in the middle of a save, the newest whole checkpoint came back "
        "bit for bit, never older than the last one reported done, and the next save left nothing over"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the counts and keeps them; 1 where anything was lost or left over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="killed runs, half of which save in the background")
    parser.add_argument("--width", type=int, default=512, help="of the two layers: 512 gives checkpoints of 4 MB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files lie; a temporary folder otherwise")
    parser.add_argument("--json", type=Path, default=place_of(NAME), help="where the counts are kept")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(Path(folder), args.kills, args.width, args.seed)
        question = (__doc__ or "").splitlines()[0]
        size = 4 * 4 * args.width * (args.width + 1)
        parameters = {"kills": args.kills, "checkpoint_bytes": size, "saves": SAVES, "seed": args.seed}
        keep(args.json, question, answer(found), Path(folder), {"parameters": parameters, "counts": found})
    return 0 if all(row.get("whole", 0) == row["kills"] for row in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
