"""The harness that stops processes, against actions whose every state is known: only then does it prove anything about a save."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import stopping
from tests.faults.stopping import failing_at, interrupted_at, shortened_at, stopped_at, system_calls
from tests.faults.watching import Fault

pytestmark = pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")

CALLS = ["openat", "write", "fsync", "close", "rename", "openat", "fsync", "close"]
STATES: list[dict[str, bytes]] = [
    {"x": b"old"},
    {"x": b"old", ".x.tmp": b""},
    *[{"x": b"old", ".x.tmp": b"newest"}] * 3,
    *[{"x": b"newest"}] * 4,
]
"""What the folder holds before the first call and after each."""


def replacing(folder: Path) -> Callable[[], None]:
    """Returns an action that puts another content in the place of `x`, in eight calls, and takes care of nothing."""
    (folder / "x").write_bytes(b"old")
    (folder / ".x.tmp").unlink(missing_ok=True)

    def action() -> None:
        file = os.open(folder / ".x.tmp", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(file, b"newest")
        os.fsync(file)
        os.close(file)
        os.rename(folder / ".x.tmp", folder / "x")
        file = os.open(folder, os.O_RDONLY)
        os.fsync(file)
        os.close(file)

    return action


def held(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def children() -> set[str]:
    """Returns the processes that this one has made and not waited for."""
    owned = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                owned.add(path.parent.name)
    return owned


def test_the_calls_of_an_action_are_listed_with_their_files(tmp_path: Path) -> None:
    """A call that is not seen is a state that is never tried."""
    calls = system_calls(replacing(tmp_path), under=tmp_path)
    assert [call.name for call in calls] == CALLS
    assert [str(call) for call in calls[:2]] == ["openat(.x.tmp)", "write(.x.tmp, 6)"]
    assert str(calls[4]) == "rename(.x.tmp -> x)"
    assert calls[4].other == str(tmp_path.resolve() / "x")
    assert held(tmp_path) == {"x": b"newest"}


def test_a_kill_at_each_call_leaves_exactly_the_state_of_that_moment(tmp_path: Path) -> None:
    """Before a call nothing of it has happened, after it all of it, and nothing of the next."""
    for n in range(len(CALLS)):
        for moment, state in (("before", STATES[n]), ("after", STATES[n + 1])):
            outcome = stopped_at(replacing(tmp_path), n, moment, under=tmp_path)  # type: ignore[arg-type]
            assert (outcome.ended, outcome.fired, len(outcome.calls)) == ("killed", True, n + 1)
            assert held(tmp_path) == state, f"{moment} {outcome.calls[-1]}"


def test_a_fault_beyond_the_last_call_says_that_it_never_happened(tmp_path: Path) -> None:
    """A loop over all calls ends there, however many there are."""
    outcome = stopped_at(replacing(tmp_path), len(CALLS), under=tmp_path)
    assert (outcome.ended, outcome.fired) == ("returned", False)
    assert held(tmp_path) == {"x": b"newest"}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_refused_call_does_nothing_and_its_error_arrives(tmp_path: Path, error: int) -> None:
    """The state is that before the call, and the action sees the error as the kernel would give it."""
    for n, name in enumerate(CALLS):
        outcome = failing_at(replacing(tmp_path), n, error, under=tmp_path)
        assert (outcome.ended, outcome.errors[0], outcome.fired) == ("raised", "OSError", True)
        assert os.strerror(error) in outcome.message
        assert held(tmp_path) == STATES[n], name


def test_a_lasting_refusal_hits_what_needs_room_and_nothing_else(tmp_path: Path) -> None:
    """On a full disk files can still be removed and renamed, and read."""
    (tmp_path / "y").write_bytes(b"y")

    def action() -> None:
        for name in ("a", "b"):
            with open(tmp_path / "y", "rb") as file:
                file.read()
            with pytest.raises(OSError, match="No space left"):
                (tmp_path / name).write_bytes(b"a")
            if name == "a":
                os.rename(tmp_path / "y", tmp_path / "z")
                os.rename(tmp_path / "z", tmp_path / "y")
        os.unlink(tmp_path / "y")

    outcome = failing_at(action, 3, errno.ENOSPC, lasting=True, under=tmp_path)
    assert [call.name for call in outcome.calls[:4]] == ["openat", "close", "openat", "write"]
    assert (outcome.ended, outcome.fired) == ("returned", True), outcome.trace
    assert held(tmp_path) == {"a": b""}


def test_an_interrupted_system_call_is_made_again_by_python(tmp_path: Path) -> None:
    """EINTR reaches an action only where Python does not handle it."""
    outcome = failing_at(replacing(tmp_path), CALLS.index("write"), errno.EINTR, under=tmp_path)
    assert (outcome.ended, outcome.fired) == ("returned", True)
    assert [call.name for call in outcome.calls].count("write") == 2
    assert held(tmp_path) == {"x": b"newest"}


def test_a_shortened_write_writes_half(tmp_path: Path) -> None:
    """The last write before a disk is full is one; code that ignores the answer loses the rest."""
    outcome = shortened_at(replacing(tmp_path), CALLS.index("write"), under=tmp_path)
    assert (outcome.ended, outcome.fired) == ("returned", True)
    assert held(tmp_path) == {"x": b"new"}
    assert not shortened_at(replacing(tmp_path), CALLS.index("fsync"), under=tmp_path).fired


def test_an_interrupt_raises_in_the_action_after_the_call(tmp_path: Path) -> None:
    """Ctrl-C is noticed between two steps of Python, and each of them is tried."""
    for n, name in enumerate(CALLS):
        outcome = interrupted_at(replacing(tmp_path), n, under=tmp_path)
        assert (outcome.ended, outcome.errors[0]) == ("raised", "KeyboardInterrupt"), name
        assert held(tmp_path) == STATES[n + 1], name


def test_threads_are_watched_and_killed_with_their_process(tmp_path: Path) -> None:
    """Files are written by threads as well, and a thread that lives on would write after the kill."""

    def action() -> None:
        def work(number: int) -> None:
            (tmp_path / f"{number}").write_bytes(b"x" * number)
            time.sleep(0.01)
            (tmp_path / f"late-{number}").touch()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    calls = system_calls(action, under=tmp_path)
    assert sorted(call.size_bytes for call in calls if call.name == "write") == [1, 2, 3, 4]
    for path in tmp_path.iterdir():
        path.unlink()
    outcome = stopped_at(action, 2, under=tmp_path)
    time.sleep(0.03)
    assert outcome.ended == "killed"
    assert len(held(tmp_path)) <= 2, "a thread went on"


def test_what_the_action_starts_is_not_counted(tmp_path: Path) -> None:
    """Another program's calls are not the action's, and it runs to its end unwatched."""

    def action() -> None:
        subprocess.run([sys.executable, "-I", "-S", "-c", f"open({str(tmp_path / 'theirs')!r}, 'w').write('x')"], check=True)
        (tmp_path / "ours").touch()

    calls = system_calls(action, under=tmp_path)
    assert {Path(call.path).name for call in calls} == {"ours"}
    assert held(tmp_path) == {"theirs": b"x", "ours": b""}


def test_locks_are_calls_and_fall_with_the_process(tmp_path: Path) -> None:
    """A lock that outlives its holder would stop every later save."""

    def action() -> None:
        with open(tmp_path / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_EX)
            fcntl.fcntl(file, fcntl.F_GETFD)

    names = [call.name for call in system_calls(action, under=tmp_path)]
    assert names == ["openat", "flock", "fcntl", "close"]
    stopped_at(action, names.index("close"), under=tmp_path)
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_relative_paths_and_open_folders_are_resolved(tmp_path: Path) -> None:
    """Whoever works below an open folder names its files without the folder's path."""

    def action() -> None:
        folder = os.open(tmp_path, os.O_RDONLY)
        os.mkdir("inner", dir_fd=folder)
        os.chdir(tmp_path)
        os.rename("inner", "./outer")
        os.rmdir("../" + tmp_path.name + "/outer")

    calls = system_calls(action, under=tmp_path)
    assert [str(call) for call in calls[1:]] == ["mkdirat(inner)", "rename(inner -> outer)", "rmdir(outer)"]


def test_calls_about_other_folders_are_left_out(tmp_path: Path) -> None:
    """What Python imports or reads of the system is no part of a save, and differs from run to run."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in-side").mkdir()

    def action() -> None:
        (tmp_path / "in" / "a").touch()
        (tmp_path / "in-side" / "b").touch()
        os.rename(tmp_path / "in-side" / "b", tmp_path / "in" / "b")

    calls = system_calls(action, under=tmp_path / "in")
    assert [str(call) for call in calls if call.name != "close"] == ["openat(a)", "rename(b -> b)"]


def test_a_process_that_hangs_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that waits for itself fails its test instead of stopping all of them."""
    monkeypatch.setattr(stopping, "RUN_LIMIT_S", 0.3)

    def action() -> None:
        (tmp_path / "last").touch()
        threading.Event().wait()

    with pytest.raises(TimeoutError, match="last"):
        system_calls(action, under=tmp_path)


def test_what_an_action_raises_is_told(tmp_path: Path) -> None:
    """The error of a failing save is judged: its class, its words, and the path it names."""

    class Refused(RuntimeError):
        path = "model.safetensors"

    def action() -> None:
        raise Refused("no room")

    outcome = stopping.run(action, Fault(), under=tmp_path)
    assert (outcome.ended, outcome.errors[:2]) == ("raised", ("Refused", "RuntimeError"))
    assert (outcome.message, outcome.path) == ("no room", "model.safetensors")
    assert "in action" in outcome.trace
    with pytest.raises(AssertionError, match="no room"):
        system_calls(action, under=tmp_path)


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    """Thousands of runs would fill the table of processes."""
    before = children()
    for n in (0, 3, 99):
        stopped_at(replacing(tmp_path), n, under=tmp_path)
    assert children() <= before
