"""`intact scan`: what would run if the files of a folder were unpickled, in all of them, on all cores.

Only what a file would do is looked at: names in its pickles, archives that lie, links and names that lead elsewhere. No byte of a
tensor is read, nothing is imported or run. Files that are no checkpoints are passed over.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, islice
from typing import Any, Literal

from intact.scan_fast import LARGEST_BYTES, is_ordinary

State = Literal["unsafe", "suspect", "damaged", "clean", "unreadable", "other"]
STATES: tuple[State, ...] = ("unsafe", "suspect", "damaged", "unreadable", "clean", "other")
"""`other`: no checkpoint and no pickle."""
CHUNK_FILES = 256
FIRST_BYTES = 16 << 10
"""What is read of a file at first; room for the largest one would take longer than reading most."""
SMALL_COUNT = 512
"""Files up to which no further process is started: that takes longer than looking."""
LEFT_LIMIT = 8
"""Unusual files of a chunk up to which a worker leaves them to the process that started it."""
FILES_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found in one file.

    Attributes:
        path: The file, or the folder of a set.
        state: What it comes to.
        container: Name of its format; "" where it is none, or was not opened.
        findings: Code, severity, headline and evidence of each finding.
    """

    path: str
    state: State
    container: str = ""
    findings: tuple[dict[str, Any], ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain data."""
        return {"path": self.path, "state": self.state, "container": self.container, "findings": list(self.findings)}


def files_in(paths: Iterable[str]) -> Iterator[str]:
    """Yields every file under some paths, each once; links to folders are not followed, so there is an end.

    Args:
        paths: Files and folders.
    """
    seen: set[str] = set()
    for path in paths:
        if not os.path.isdir(path):
            if path not in seen:
                seen.add(path)
                yield path
            continue
        stack = [path]
        while stack:
            folder = stack.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                elif _is_file(entry):
                    yield entry.path


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def scan(paths: Iterable[str], *, processes: int | None = None) -> Iterator[Scanned]:
    """Yields what was found in each file, in the order in which they are met.

    Args:
        paths: Files and folders.
        processes: How many look at a time; one for each core where not given.

    Raises:
        OSError: A path that was named is not there.
    """
    named = list(paths)
    for path in named:
        os.stat(path)
    files = islice(files_in(named), FILES_LIMIT)
    workers = processes or os.cpu_count() or 1
    first = list(islice(files, SMALL_COUNT))
    if workers == 1 or len(first) < SMALL_COUNT:
        yield from map(scan_file, chain(first, files))
        return
    yield from _by_processes(chain(first, files), workers)


def _by_processes(files: Iterator[str], workers: int) -> Iterator[Scanned]:
    """Looks at the first files while the others are still being found; the few unusual ones of a chunk are looked at here.

    The readers of all containers take longer to import than a worker takes for thousands of ordinary files: they are imported
    here, while the workers are busy, and in a worker only where it meets many files that need them.
    """
    from multiprocessing import get_context
    from threading import Thread

    chunks: deque[list[str]] = deque()

    def handed_out() -> Iterator[list[str]]:
        while chunk := list(islice(files, CHUNK_FILES)):
            chunks.append(chunk)
            yield chunk

    with get_context().Pool(workers, initializer=_deaf) as pool:
        Thread(target=import_module, args=("intact.scan_full",), daemon=True).start()
        for marks, others in pool.imap(_scan_chunk, handed_out()):
            for path, mark in zip(chunks.popleft(), marks, strict=True):
                if mark in _MARKED:
                    yield Scanned(path, "clean", _MARKED[mark])
                else:
                    yield Scanned(*others[path]) if path in others else scan_file(path)


def _deaf() -> None:
    """Leaves Ctrl-C to the process that started this one."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


_MARKED = {"z": "torch-zip", "s": "safetensors"}
"""A letter for each clean file of these containers, so that hardly anything goes from one process to another."""


def _scan_chunk(files: Sequence[str]) -> tuple[str, dict[str, tuple[Any, ...]]]:
    """Returns a letter for each file, and by path what more is to be said of some; nothing of a few unusual ones."""
    letters = {container: letter for letter, container in _MARKED.items()}
    first = [(path, _at_once(path)) for path in files]
    here = sum(isinstance(found, bytes) for _, found in first) > LEFT_LIMIT
    marks, others = [], {}
    for path, told in first:
        found = told if isinstance(told, Scanned) else _in_full(path, told) if here else None
        mark = letters.get(found.container, "?") if found and found.state == "clean" and not found.findings else "?"
        marks.append(mark)
        if found and mark == "?":
            others[path] = (found.path, found.state, found.container, found.findings)
    return "".join(marks), others


def scan_file(path: str) -> Scanned:
    """Returns what was found in one file; never raises for what is in it."""
    found = _at_once(path)
    return _in_full(path, found) if isinstance(found, bytes) else found


def _at_once(path: str) -> Scanned | bytes:
    """Returns what can be said of a file without opening it, or its first bytes where it has to be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        return _unreadable(path, error.strerror or str(error))
    try:
        data = os.read(descriptor, FIRST_BYTES)
        if len(data) == FIRST_BYTES:
            data += os.read(descriptor, LARGEST_BYTES + 1 - FIRST_BYTES)
    except OSError as error:
        return _unreadable(path, error.strerror or str(error))
    finally:
        os.close(descriptor)
    if len(data) <= LARGEST_BYTES and is_ordinary(data):
        return Scanned(path, "clean", "torch-zip" if data[:2] == b"PK" else "safetensors")
    return data[:512]


def _in_full(path: str, head: bytes) -> Scanned:
    from intact.scan_full import looked_at

    return Scanned(path, *looked_at(path, head))


def _unreadable(path: str, why: str) -> Scanned:
    return Scanned(
        path, "unreadable", "", ({"code": "", "severity": "error", "headline": f"cannot be read: {why}", "evidence": {}},)
    )


def worst(found: Iterable[Scanned]) -> State:
    """Returns the worst state of all."""
    states = {each.state for each in found}
    return next((state for state in STATES if state in states), "other")
