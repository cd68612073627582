"""How far long work has come, for whoever watches: a command on a terminal.

Work says what it does and how many bytes of it are done. Nobody watches a library, and then saying so costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Watcher(Protocol):
    """Who is told. Calls come from several threads."""

    def begin(self, what: str, total_bytes: int) -> None:
        """Work of so many bytes begins; it may be a part of other work that goes on."""

    def advance(self, done_bytes: int) -> None:
        """So many more bytes are done of the work that began last."""

    def end(self) -> None:
        """The work that began last is done, or has failed."""


_watchers: list[Watcher] = []


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tells a watcher of all work inside the block, in place of another one."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def is_watched() -> bool:
    """Tells whether anybody wants to know, so that work is cut into pieces for it."""
    return bool(_watchers)


@contextmanager
def working(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Gives what is called with the number of bytes that were done.

    Args:
        what: In the words of the user (`comparing`).
        total_bytes: Of all that is to be done.
    """
    if not _watchers:
        yield _unheard
        return
    watcher = _watchers[-1]
    watcher.begin(what, total_bytes)
    try:
        yield watcher.advance
    finally:
        watcher.end()


def _unheard(done_bytes: int) -> None:
    """Nobody watches."""
