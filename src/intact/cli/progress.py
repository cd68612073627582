"""A bar on stderr for work that takes long, where stderr is a terminal; gone when the work is done.

Short work draws nothing, and does not pay for the library that draws.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING

from intact.files.progress import watched_by

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, TaskID

DELAY_S = 0.7
"""Work that is done by then draws nothing."""


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[None]:
    """Shows how far the work inside the block is, on a terminal only."""
    if quiet or not is_drawn():
        yield
        return
    bar = Bar()
    try:
        with watched_by(bar):
            yield
    finally:
        bar.close()


def is_drawn() -> bool:
    """Tells whether stderr is a terminal that can draw."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Bar:
    """Draws the work that began last.

    Args:
        console: Where to draw; stderr where not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._lock = Lock()
        self._began: list[tuple[str, int, int]] = []
        self._first_s = 0.0
        self._drawn: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, what: str, total_bytes: int) -> None:
        """Notes work that begins."""
        with self._lock:
            if not self._began:
                self._first_s = time.monotonic()
            self._began.append((what, total_bytes, 0))
            self._show()

    def advance(self, done_bytes: int) -> None:
        """Counts, and draws once it takes long."""
        with self._lock:
            if self._began:
                what, total, done = self._began[-1]
                self._began[-1] = (what, total, done + done_bytes)
                self._show()

    def end(self) -> None:
        """Goes back to the work around."""
        with self._lock:
            if self._began:
                self._began.pop()
                self._show()
                if not self._began:
                    self._hide()

    def close(self) -> None:
        """Removes what was drawn."""
        with self._lock:
            self._began.clear()
            self._hide()

    def _hide(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = self._task = None

    def _show(self) -> None:
        if not self._began or (self._drawn is None and time.monotonic() - self._first_s < DELAY_S):
            return
        if self._drawn is None:
            self._drawn = _started(self._console, _bytes_columns())
        what, total, done = self._began[-1]
        if self._task is None:
            self._task = self._drawn.add_task(what, total=total)
        self._drawn.update(self._task, description=what, total=max(total, 1), completed=min(done, max(total, 1)))


class Count:
    """How many files were looked at, of how many; the second number is found out meanwhile.

    Args:
        paths: Files and folders that are walked.
        console: Where to draw; stderr where not given.
    """

    def __init__(self, paths: Iterable[str], console: Console | None = None) -> None:
        self._console = console
        self._paths = list(paths)
        self._first_s = time.monotonic()
        self._done = 0
        self._total: int | None = None
        self._counts = False
        self._drawn: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, said: str) -> None:
        """Counts one more file.

        Args:
            said: What is to be seen beside the numbers.
        """
        self._done += 1
        if self._drawn is None and self._done % 64 == 0 and time.monotonic() - self._first_s >= DELAY_S:
            if not self._counts:
                self._counts = True
                Thread(target=self._count, daemon=True).start()
            self._drawn = _started(self._console, _files_columns())
            self._task = self._drawn.add_task("", total=None)
        if self._drawn is not None and self._task is not None:
            self._drawn.update(self._task, description=said, total=self._total, completed=self._done)

    def hide(self) -> None:
        """Removes what was drawn, until the next file."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def _count(self) -> None:
        from intact.scanning import files_in

        self._total = sum(1 for _ in files_in(self._paths))


def _started(console: Console | None, columns: Iterable[ProgressColumn]) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    place = console or Console(stderr=True)
    # Rich would send what is printed on stdout to stderr, where the bar is
    drawn = Progress(*columns, console=place, transient=True, redirect_stdout=False, redirect_stderr=False)
    drawn.start()
    return drawn


def _bytes_columns() -> Iterable[ProgressColumn]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

    return TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn()


def _files_columns() -> Iterable[ProgressColumn]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return BarColumn(), MofNCompleteColumn(), TextColumn("files"), TextColumn("{task.description}"), TimeRemainingColumn()
