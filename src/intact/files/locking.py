"""One writer at a time for each checkpoint, and what writers that were killed left behind.

The lock is a file beside the target, held by the operating system for as long as its process lives: a killed writer holds
nothing, whatever it left. So whoever has the lock knows that every other draft of this target is dead, and may clear it. Where
the system has no locks nobody knows that, and drafts are left alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intact.errors import IntactError

_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What file systems without locks answer (some network and user-space ones); writing goes on there without one."""

_ATTEMPTS = 100
"""How often a lock file that its last holder removed meanwhile is made anew; each attempt loses to another writer's end."""

_LONGEST_NAME_BYTES = 200
"""Bytes of the target's name within the names of drafts and locks; file systems stop at 255."""


def stem_of(target: Path) -> str:
    """Returns how the names of a target's drafts and lock begin: hidden, recognisable, and its own however long its name is."""
    name = os.fsencode(target.name)
    if len(name) <= _LONGEST_NAME_BYTES:
        return f".{target.name}."
    cut = name[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    return f".{cut}~{hashlib.blake2b(name, digest_size=6).hexdigest()}."


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Holds the right to write a target, and clears the drafts that dead writers of it left.

    Args:
        target: File or folder; it need not exist, its folder must.

    Raises:
        IntactError: Another writer holds it now (`file/concurrent-writes`).
        OSError: The folder cannot be written.
    """
    path = target.with_name(f"{stem_of(target)}lock")
    try:
        descriptor, alone = _held(path, target)
    except KeyboardInterrupt:
        _clear_lock(path, target)
        raise
    try:
        if alone:
            clear_drafts(target)
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)  # before the lock goes: whoever waits finds another file there and makes a new one
        with suppress(OSError):
            os.close(descriptor)


def clear_drafts(target: Path) -> None:
    """Removes drafts of a target whose writers are dead; only for the holder of its lock."""
    from intact.files.trees import removed

    pattern = re.compile(re.escape(stem_of(target)) + r"[0-9a-f]{12}\.tmp")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in [entry for entry in entries if pattern.fullmatch(entry.name)]:
            with suppress(OSError):
                removed(Path(entry.path))


def _clear_lock(path: Path, target: Path) -> None:
    """Removes the lock file that an interrupted attempt left, unless another writer holds it by now."""
    with suppress(OSError, IntactError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if _locked(descriptor, target) and _is_at(descriptor, path):
                os.unlink(path)
        finally:
            os.close(descriptor)


def _held(path: Path, target: Path) -> tuple[int, bool]:
    """Returns the open lock, and whether it keeps others out."""
    for _ in range(_ATTEMPTS):
        descriptor = _opened(path)
        try:
            alone = _locked(descriptor, target)
            if _is_at(descriptor, path):
                _sign(descriptor)
                return descriptor, alone
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise _taken(target, "")


def _opened(path: Path) -> int:
    """Opens the lock file, and never what a link of that name leads to: it is signed."""
    flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user was killed while saving here; to lock the file it is enough to read it
        try:
            return os.open(path, flags | os.O_RDONLY)
        except FileNotFoundError:
            pass
        raise


def _locked(descriptor: int, target: Path) -> bool:
    """Returns whether nobody else holds the lock, or False where the system cannot tell.

    Raises:
        IntactError: Another writer holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: the draft's own name keeps writers apart, and the last one to finish stays
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise _taken(target, os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()) from None
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one of that name: its last holder removes it."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _sign(descriptor: int) -> None:
    """Writes down who holds the lock, for the message of those who do not get it."""
    with suppress(OSError):
        os.pwrite(descriptor, f"{os.getpid():<20}".encode(), 0)


def _taken(target: Path, holder: str) -> IntactError:
    who = f"process {holder}" if holder.isdecimal() else "another writer"
    return IntactError(
        f"{who} is saving to this path now; nothing was written",
        code="file/concurrent-writes",
        path=str(target),
        evidence={"process": int(holder) if holder.isdecimal() else None},
        help="let one process save (rank 0 of a distributed run), or give each a path of its own",
    )
