"""The disk begins to take a file while another program part still writes it, so that waiting for the disk afterwards is short.

Only Linux has a call for that, which starts the transfer of what is there and returns. Elsewhere, and where it is refused,
nothing is done: it changes how long a save takes, never what it is. The same holds for the old file: giving its memory back takes
as long as a third of a save, and nobody has to wait for that.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

_START = 2
"""`SYNC_FILE_RANGE_WRITE`: begin, and do not wait."""

_EVERY_S = 0.003
"""A few MiB of writing at the speed of memory; small files are whole before the first call."""


def begun(work: Callable[..., object], *args: object) -> threading.Thread | None:
    """Returns a thread that works; None where the interpreter is ending and starts none, as when a program saves at exit."""
    thread = threading.Thread(target=work, args=args, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


@contextmanager
def written_back(path: Path) -> Iterator[None]:
    """Sends what a file holds to the disk, again and again, while the block writes it.

    Args:
        path: The file, which the block makes.
    """
    call = _sync_file_range()
    if call is None:
        yield
        return
    done = threading.Event()
    sender = begun(_send, path, call, done)
    try:
        yield
    finally:
        done.set()
        if sender is not None:
            sender.join()


def _send(path: Path, call: Any, done: threading.Event) -> None:
    descriptor = -1
    try:
        while not done.wait(_EVERY_S):
            with suppress(OSError):
                descriptor = descriptor if descriptor >= 0 else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if call(descriptor, 0, 0, _START) != 0:
                    return
    finally:
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def freed_later(path: Path) -> Iterator[None]:
    """Lets the file that stands at a path be replaced in the block at once; its memory is given back by another thread."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        if begun(os.close, descriptor) is None:
            os.close(descriptor)


@lru_cache(maxsize=1)
def _sync_file_range() -> Any:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function
