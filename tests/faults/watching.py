"""A process whose file system calls are seen one by one, and what a fault may do at each of them.

Calls are counted between two marks that the process sets, its threads' with its own, in the order in which they are begun.
Programs that it starts are not followed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import ptrace

BEGIN, END = 1_000_000_001, 1_000_000_002
"""Closing these files, which nobody has open, is how the action's process says where the action begins and ends."""


@dataclass(frozen=True, slots=True)
class Call:
    """One file system call.

    Attributes:
        name: As the kernel names it.
        path: What it is about; the path of an open file where it is about one.
        other: The second path of a rename or link.
        size_bytes: How many bytes it is to write, where that is said in a number.
        creates: Whether it makes the file that it opens, if there is none.
    """

    name: str
    path: str
    other: str = ""
    size_bytes: int = 0
    creates: bool = False

    def __str__(self) -> str:
        """The call with the names of its files."""
        names = " -> ".join(Path(path).name for path in (self.path, self.other) if path)
        return f"{self.name}({names}{f', {self.size_bytes}' if self.size_bytes else ''})"


class Fault:
    """What is done to a run; this one does nothing."""

    fired = False

    def at_entry(self, run: Run, thread: int, number: int, call: Call) -> None:
        """Called before the kernel does the call of this number."""

    def at_exit(self, run: Run, thread: int, number: int, call: Call) -> None:
        """Called when the kernel has done it and nobody has seen the answer."""


@dataclass
class Run:
    """One process that is being watched; what it does outside of `under` is not counted."""

    process: int
    fault: Fault
    under: str
    calls: list[Call] = field(default_factory=list)
    counting: bool = False
    killed: bool = False
    ended: bool = False
    _open: dict[int, tuple[int, Call]] = field(default_factory=dict)

    def watch(self) -> None:
        """Follows the process and its threads to their end."""
        while True:
            thread, status = os.waitpid(-self.process, ptrace.WAIT_FOR_THREADS)
            if not os.WIFSTOPPED(status):
                if thread == self.process:
                    self.ended = True
                    return
            elif not self.killed:
                with suppress(ProcessLookupError):  # killed between its stop and our answer
                    self._go_on(thread, status)

    def kill(self) -> None:
        """Ends the process, its threads and what it started, without any of them noticing."""
        self.killed = True
        os.killpg(self.process, signal.SIGKILL)

    def _go_on(self, thread: int, status: int) -> None:
        event, number = status >> 16, os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            self._at_call(thread)
        is_signal = event == 0 and number != signal.SIGTRAP | 0x80
        ptrace.request(ptrace.SYSCALL, thread, 0, number if is_signal else 0)

    def _at_call(self, thread: int) -> None:
        stop = ptrace.stop(thread)
        if stop.at == "exit":
            if thread in self._open:
                self.fault.at_exit(self, thread, *self._open.pop(thread))
            return
        name = ptrace.CALLS.get(stop.number, "")
        if name == "close" and stop.arguments[0] in (BEGIN, END):
            self.counting = stop.arguments[0] == BEGIN
        if self.counting and name and (name != "fcntl" or stop.arguments[1] in ptrace.LOCKS):
            self._enter(thread, self._call(name, stop.arguments))

    def _enter(self, thread: int, call: Call) -> None:
        if not any(path == self.under or path.startswith(self.under.rstrip("/") + "/") for path in (call.path, call.other)):
            return
        self.calls.append(call)
        self._open[thread] = (len(self.calls) - 1, call)
        self.fault.at_entry(self, thread, len(self.calls) - 1, call)

    def _call(self, name: str, arguments: tuple[int, ...]) -> Call:
        paths, folder, size, creates = [], -100, 0, name == "creat"
        for form, argument in zip(ptrace.FORMS[name], arguments, strict=False):
            if form == "d":
                folder = argument
            elif form == "p":
                paths.append(_resolved(ptrace.path_of(self.process, folder), ptrace.text_at(self.process, argument)))
            elif form == "f":
                paths.append(ptrace.path_of(self.process, argument))
            elif form == "n":
                size = argument
            elif form == "o":
                creates = bool(argument & os.O_CREAT)
        return Call(name, paths[0], paths[1] if len(paths) > 1 else "", size, creates)


def _resolved(folder: str, path: str) -> str:
    """Returns the path itself where it is a link, with all links above it followed."""
    above, name = os.path.split(os.path.join(folder, path).rstrip("/"))
    return os.path.join(os.path.realpath(above), name)
