"""Writing a file so that its path holds the old content or the new one, whatever happens in between.

The bytes go to a temporary file beside the target, are synced, renamed over it, and the folder is synced. A failure or Ctrl-C
before the rename removes the temporary file and leaves the target as it was.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from intact.errors import IntactError


def write_atomically(target: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Lets `write` fill a temporary file and puts it in the place of `target`.

    Args:
        target: Where the file is to be; its folder must exist.
        write: Writes the whole content to the path it is given.
        overwrite: Whether an existing file may be replaced.

    Raises:
        IntactError: The target exists and may not be replaced, or the folder does not take the file.
    """
    if target.exists() and not overwrite:
        raise IntactError(
            "the output exists already", path=str(target), help="name another file, or say --force (overwrite=True)"
        )
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        _sync(temporary)
        if overwrite:
            os.replace(temporary, target)
        else:
            _put_if_free(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise IntactError(f"the output cannot be written: {error.strerror or error}", path=str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _put_if_free(temporary: Path, target: Path) -> None:
    """Gives the file its name unless somebody took that name meanwhile, which a rename alone would not notice."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # a file system without links, such as FAT
        try:
            os.replace(temporary, target)
        except BaseException:
            os.unlink(target)
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
