"""Saves over an existing checkpoint, and what must hold whenever one of them does not come to its end.

A scenario knows how the old state gets into a folder, how the new one is saved over it, and how to tell them apart. The checks
run the save once for every system call it makes, and judge the folder that is left.
"""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults import stopping
from tests.faults.stopping import Outcome
from tests.faults.watching import Call

KEPT = "before stands there now"
"""What an error says where the old checkpoint was kept; it must not say so where it was replaced."""

REMOVALS = ("unlink", "unlinkat", "rmdir")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One save over what a folder holds.

    Attributes:
        prepare: Writes the old state into a folder.
        save: Writes the new one over it.
        holds: Returns "old" or "new", whichever a folder holds entirely; fails where it is neither.
        litter: Returns the files of a folder that belong to no checkpoint.
    """

    prepare: Callable[[Path], object]
    save: Callable[[Path], object]
    holds: Callable[[Path], str]
    litter: Callable[[Path], set[str]]


class Trial:
    """Runs one scenario again and again, each time from the same old state."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        self.folder = place / "folder"
        self._template = place / "template"
        self._template.mkdir()
        scenario.prepare(self._template)
        self.reset()
        scenario.save(self.folder)  # whatever is imported on first use is imported now
        assert (self.holds(), self.litter()) == ("new", set())
        self.proper = {path.name for place in (self._template, self.folder) for path in place.iterdir()}

    def reset(self) -> None:
        """Puts the old state back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._template, self.folder)

    def save(self) -> object:
        """Saves the new state."""
        return self.scenario.save(self.folder)

    def holds(self) -> str:
        """Returns what the folder holds."""
        return self.scenario.holds(self.folder)

    def litter(self) -> set[str]:
        """Returns what does not belong into the folder."""
        return self.scenario.litter(self.folder)

    def calls(self) -> list[Call]:
        """Returns the system calls of an undisturbed save."""
        self.reset()
        return stopping.system_calls(self.save, under=self.folder)


def survives_kills(trial: Trial) -> None:
    """Checks that a killed save leaves the old state or the new one, and nothing that the next save does not clear."""
    seen: list[str] = []
    for n in itertools.count():
        trial.reset()
        outcome = stopping.stopped_at(trial.save, n, under=trial.folder)
        if not outcome.fired:
            break
        seen.append(_after_a_kill(trial, outcome))
    trial.reset()
    seen.append(_after_a_kill(trial, stopping.stopped_at(trial.save, len(seen) - 1, "after", under=trial.folder)))
    assert seen == sorted(seen, reverse=True), f"it was new and became old again: {seen}"
    assert set(seen) == {"old", "new"}


def _after_a_kill(trial: Trial, outcome: Outcome) -> str:
    held = _held(trial, outcome)
    trial.save()
    assert (trial.holds(), trial.litter()) == ("new", set()), f"the save after a kill at {outcome.calls[-1]}"
    return held


def survives_errors(trial: Trial) -> None:
    """Checks that a save whose call fails says so by its own error and path, keeps the old state, and cleans up."""
    for n, call in enumerate(trial.calls()):
        trial.reset()
        error = errno.ENOSPC if stopping.needs_room(call) else errno.EIO
        outcome = stopping.failing_at(trial.save, n, error, under=trial.folder)
        assert outcome.fired
        _after_an_error(trial, outcome, n)


def survives_a_full_disk(trial: Trial) -> None:
    """Checks the same where every later call that needs room fails as well, and where the last write was cut short."""
    for n, call in enumerate(trial.calls()):
        if not stopping.needs_room(call):
            continue
        trial.reset()
        outcome = stopping.failing_at(trial.save, n, errno.ENOSPC, lasting=True, under=trial.folder)
        _after_an_error(trial, outcome, n)
        trial.reset()
        outcome = stopping.shortened_at(trial.save, n, under=trial.folder)
        assert not outcome.fired or (outcome.ended, _held(trial, outcome), trial.litter()) == ("returned", "new", set()), (
            f"half of {call} was written"
        )


def _after_an_error(trial: Trial, outcome: Outcome, n: int) -> None:
    held, call = _held(trial, outcome), outcome.calls[n]
    assert outcome.ended != "killed"
    litter = trial.litter()
    assert not litter or _excused(trial, call, litter), f"{litter} after {call} failed\n{outcome.trace}"
    if outcome.ended == "returned":
        assert held == "new", f"{call} failed, and nothing was said"
        return
    assert "IntactError" in outcome.errors, f"{call} failed: {outcome.trace}"
    assert str(trial.folder) in outcome.path, f"{call} failed, and the error names {outcome.path!r}"
    kept = held == "old" and not litter & trial.proper  # where both stand, the new one is not at all gone
    assert (KEPT in outcome.message) == kept, f"{call} failed, {held} is there: {outcome.message}"


def _excused(trial: Trial, call: Call, litter: set[str]) -> bool:
    """Whether it was right to leave something.

    The removal is what failed; or nobody knows whose lock it is; or the disk did not confirm the new checkpoint, and a power cut
    may still bring the old one back: then its files must be there.
    """
    path = Path(call.path)
    removes = call.name in REMOVALS or (path.name in litter and (path.is_dir() or call.name == "flock"))
    unconfirmed = path == trial.folder and litter <= trial.proper
    return removes or unconfirmed


def survives_interrupts(trial: Trial) -> None:
    """Checks that Ctrl-C ends a save as itself, at any call, with the old state or the new one and nothing else."""
    for n in itertools.count():
        trial.reset()
        outcome = stopping.interrupted_at(trial.save, n, under=trial.folder)
        if not outcome.fired:
            return
        call = outcome.calls[n]
        assert outcome.errors[:1] == ("KeyboardInterrupt",), f"interrupted at {call}: {outcome.ended} {outcome.trace}"
        assert (_held(trial, outcome) in ("old", "new"), trial.litter()) == (True, set()), f"interrupted at {call}"


def _held(trial: Trial, outcome: Outcome) -> str:
    try:
        return trial.holds()
    except Exception as error:
        calls = [str(call) for call in outcome.calls[-4:]]
        raise AssertionError(f"neither state after {calls}: {error} ({outcome.ended} {outcome.message})") from error
