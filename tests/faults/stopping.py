"""Runs an action in a process of its own and stops, fails or interrupts it at one of its file system calls.

The process is forked, so that what is imported stays imported and one run costs milliseconds. It is watched from the first to the
last line of the action, its threads with it. A process that is killed leaves the files as they are at that moment: stopping at
every call, before the first and after each, is every state that a kill can leave behind, except the middle of one write.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from tests.faults import ptrace
from tests.faults.watching import BEGIN, END, Call, Fault, Run

Action = Callable[[], object]
Moment = Literal["before", "after"]

RUN_LIMIT_S = 60
"""A run that waits for itself is ended by force; a normal one takes a hundredth of a second."""

NEEDS_ROOM = frozenset({
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "fallocate", "mkdir", "mkdirat", "link",
    "linkat", "symlink", "symlinkat",
})  # fmt: skip
"""Calls that fail on a full disk, beside those that make a file."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        ended: Whether the action returned, raised, or was killed.
        fired: Whether the fault happened at all; not so where there is no call of that number.
        calls: The calls that were entered, up to the end.
        errors: The names of the error's classes, its own first.
        message: The error as it prints.
        path: The error's own `path`, "" where it has none.
        trace: The traceback.
    """

    ended: Literal["returned", "raised", "killed"]
    fired: bool
    calls: tuple[Call, ...]
    errors: tuple[str, ...] = ()
    message: str = ""
    path: str = ""
    trace: str = field(default="", repr=False)


@dataclass
class Kill(Fault):
    """The process is killed."""

    number: int
    moment: Moment
    fired: bool = False

    def at_entry(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number == self.number and self.moment == "before":
            self._kill(run)

    def at_exit(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number == self.number and self.moment == "after":
            self._kill(run)

    def _kill(self, run: Run) -> None:
        self.fired = True
        run.kill()


@dataclass
class Refuse(Fault):
    """One call fails, or all of some kinds from there on."""

    number: int
    error: int
    lasting: bool = False
    fired: bool = False
    _refused: set[int] = field(default_factory=set)

    def at_entry(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number != self.number and not (self.lasting and number > self.number and needs_room(call)):
            return
        self.fired = True
        self._refused.add(number)
        if call.name != "close":  # a close that fails has closed the file all the same
            ptrace.cancel(thread)

    def at_exit(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number in self._refused:
            ptrace.answer(thread, -self.error)


def needs_room(call: Call) -> bool:
    """Returns whether a full disk refuses a call."""
    return call.creates or call.name in NEEDS_ROOM


@dataclass
class Shorten(Fault):
    """One write writes half of what it was asked to, as the last one before a disk is full does."""

    number: int
    fired: bool = False

    def at_entry(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number == self.number and call.name in ("write", "pwrite64") and call.size_bytes > 1:
            self.fired = True
            ptrace.set_argument(thread, 2, call.size_bytes // 2)


@dataclass
class Interrupt(Fault):
    """Ctrl-C is pressed during one call."""

    number: int
    fired: bool = False

    def at_entry(self, run: Run, thread: int, number: int, call: Call) -> None:
        if number == self.number:
            self.fired = True
            os.kill(run.process, signal.SIGINT)


def system_calls(action: Action, *, under: Path | str = "/") -> list[Call]:
    """Returns the file system calls of an action, in the order in which they were begun.

    Args:
        action: Runs in a copy of this process; what it changes in memory is lost.
        under: Only calls about files in this folder count.
    """
    outcome = run(action, Fault(), under=under)
    assert outcome.ended == "returned", outcome.trace
    return list(outcome.calls)


def stopped_at(action: Action, n: int, moment: Moment = "before", *, under: Path | str = "/") -> Outcome:
    """Runs an action and kills it before or after the call of number `n`, counted from 0."""
    return run(action, Kill(n, moment), under=under)


def failing_at(action: Action, n: int, error: int, *, lasting: bool = False, under: Path | str = "/") -> Outcome:
    """Runs an action whose call of number `n` fails with this error; `lasting`: and from there on all that need room."""
    return run(action, Refuse(n, error, lasting), under=under)


def shortened_at(action: Action, n: int, *, under: Path | str = "/") -> Outcome:
    """Runs an action whose call of number `n`, where it writes, writes half; `fired` says whether it does."""
    return run(action, Shorten(n), under=under)


def interrupted_at(action: Action, n: int, *, under: Path | str = "/") -> Outcome:
    """Runs an action that gets SIGINT during the call of number `n`."""
    return run(action, Interrupt(n), under=under)


@lru_cache
def why_not() -> str:
    """Returns why no process can be watched here, "" where it can."""
    if reason := ptrace.unsupported():
        return reason
    try:
        run(lambda: None, Fault(), under="/")
    except OSError as error:
        return f"the kernel does not let this process watch others: {error}"
    return ""


def run(action: Action, fault: Fault, *, under: Path | str) -> Outcome:
    """Runs an action in a watched copy of this process.

    Raises:
        TimeoutError: It did not end; it was killed.
        PermissionError: This process may not watch others.
    """
    result_from, result_to = os.pipe()
    started_from, started_to = os.pipe()
    process = _fork()
    if process == 0:
        os.close(started_to)
        _child(action, started_from, result_to)
    os.close(started_from)
    os.close(result_to)
    watched = Run(process, fault, os.path.realpath(under))
    try:
        _start(process, started_to)
        _watch(watched)
        return _outcome(watched, result_from)
    finally:
        if not watched.ended:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, ptrace.WAIT_FOR_THREADS)
        os.close(result_from)
        os.close(started_to)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 where other threads run: the child uses none of them
        return os.fork()


def _start(process: int, started_to: int) -> None:
    os.setpgid(process, process)  # a group of its own: waiting for it reaps nobody else's children
    ptrace.request(ptrace.SEIZE, process, 0, ptrace.OPTIONS)
    ptrace.request(ptrace.INTERRUPT, process)
    os.write(started_to, b".")


def _watch(watched: Run) -> None:
    alarm = threading.Timer(RUN_LIMIT_S, watched.kill)
    alarm.start()
    try:
        watched.watch()
        if alarm.finished.is_set():
            raise TimeoutError(f"no end after {RUN_LIMIT_S} s and {len(watched.calls)} calls, the last {watched.calls[-1:]}")
    finally:
        alarm.cancel()
        alarm.join()


def _outcome(watched: Run, result_from: int) -> Outcome:
    readable, _, _ = select.select([result_from], [], [], 0)
    plain = os.read(result_from, 1 << 16) if readable else b""
    result: dict[str, Any] = pickle.loads(plain) if plain else {"ended": "killed"}
    return Outcome(fired=watched.fault.fired, calls=tuple(watched.calls), **result)


def _child(action: Action, started_from: int, result_to: int) -> NoReturn:
    """Runs the action once the parent watches; never returns into the parent's stack."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _one_thread_of_torch()
        assert os.read(started_from, 1)
        os.write(result_to, pickle.dumps(_result(action)))
    finally:
        os._exit(0)


def _one_thread_of_torch() -> None:
    """Keeps torch off the threads of the parent's OpenMP, of which a fork has the records and not the threads."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _result(action: Action) -> dict[str, Any]:
    try:
        try:
            _say(BEGIN)
            action()
        finally:
            _say(END)
    except BaseException as error:  # noqa: BLE001 - whatever the action raises is the result
        names = tuple(kind.__name__ for kind in type(error).__mro__)
        trace = "".join(traceback.format_exception(error))[-8000:]
        path = str(getattr(error, "path", "") or "")
        return {"ended": "raised", "errors": names, "message": str(error)[:2000], "path": path, "trace": trace}
    return {"ended": "returned"}


def _say(mark: int) -> None:
    with suppress(OSError):
        os.close(mark)
