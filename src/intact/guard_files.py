"""What the guard's saving and reading share: which paths are theirs, what a file says of itself, and how the user is told.

A torch zip keeps a CRC-32 of every record, and an identity that is made of all of them. By the two, a file that another program
wrote over a sealed one is told from a sealed one that changed: the first is whole by itself and says it is somebody else.
"""

from __future__ import annotations

import os
import sys
import warnings
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from intact.errors import CheckpointWarning

if TYPE_CHECKING:
    from intact.core.report import Report

_IDENTITY = ".data/serialization_id"
"""Record of a torch zip since 2.1: 40 digits from names and CRCs of all others; torch `caffe2/serialize/inline_container.cc`."""

_IDENTITY_LIMIT_BYTES = 256

_UNREADABLE = (OSError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, MemoryError)
"""What Python's zip reader raises for bytes that are no zip, or one that it does not know."""


def path_of(f: object) -> Path | None:
    """Returns the place that a path leads to, links followed; None for file objects, folders, devices and remote paths."""
    if not isinstance(f, str | os.PathLike):
        return None
    text = os.fspath(f)
    if not isinstance(text, str) or text.endswith(("/", os.sep)):
        return None
    try:
        path = Path(os.path.realpath(text))
        usable = path.is_file() or (path.parent.is_dir() and not os.path.lexists(path))
    except (OSError, ValueError):
        return None
    return path if usable else None


def identity_of(path: Path) -> str:
    """Returns what a torch zip says of its own content; "" for a file that says nothing."""
    with suppress(*_UNREADABLE), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith("/" + _IDENTITY) and entry.file_size <= _IDENTITY_LIMIT_BYTES:
                return archive.read(entry).decode("ascii", "replace")
    return ""


def is_whole_by_itself(path: Path) -> bool:
    """Whether every record of a zip agrees with its own CRC-32."""
    with suppress(*_UNREADABLE), zipfile.ZipFile(path) as archive:
        return archive.testzip() is None
    return False


def tell(message: str, report: Report | None = None) -> None:
    """Warns at the line of the user's program that called torch."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("intact.guard", "torch.", "contextlib")):
        level, frame = level + 1, frame.f_back
    warnings.warn(CheckpointWarning(message, report), stacklevel=level + 1)
