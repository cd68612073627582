"""Whole folders: synced to the disk, removed, and exchanged with another one in a single step where the system can.

Only Linux exchanges two names at once (`renameat2`). Elsewhere the old folder is moved aside for an instant, under a name that
says whose it is, so that a reader who finds nothing at the path can be told where it stands.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def sync(path: Path) -> None:
    """Waits until a file, or the list of names of a folder, is on the disk; file systems that cannot are left alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until every file and folder below, and the folder itself, is on the disk."""
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(where, name))
        sync(Path(where))


def removed(path: Path) -> None:
    """Removes a file or a whole folder; a link is removed itself, never what it leads to."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except OSError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # it came while a folder was closed, which is then closed twice
            raise error.__context__ from None
        raise


def put_in_place(draft: Path, target: Path, aside: Path) -> None:
    """Gives a finished folder its name, in place of the one that has it.

    Args:
        draft: The finished folder, in the folder of the target.
        target: The name; a folder there is replaced as a whole and removed.
        aside: Where the old folder stands until it is removed.
    """
    if not target.exists():
        os.rename(draft, target)
        return
    if _exchanged(draft, target):
        aside = draft  # what stands under the draft's name now is the old folder
    else:
        os.rename(target, aside)
        try:
            os.rename(draft, target)
        except BaseException:
            with suppress(OSError):
                os.rename(aside, target)
            raise
    with suppress(OSError):  # the new folder has its name; what is left of the old one is cleared by the next writer
        removed(aside)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system cannot."""
    function = _renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


@lru_cache(maxsize=1)
def _renameat2() -> Any:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
