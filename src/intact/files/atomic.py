"""Writing so that a path holds the old content or the new one, whatever happens in between.

The bytes go to a draft beside the target, are synced, renamed over it, and the folder is synced. A failure or Ctrl-C before the
rename removes the draft and leaves the target as it was; a draft whose writer was killed is cleared by the next writer. Drafts
are made by the operating system's own rules for new files, so that their mode follows the umask.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intact.errors import IntactError
from intact.files.locking import only_writer, stem_of
from intact.files.trees import put_in_place, removed, sync, sync_tree

_WITHOUT_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Holds the right to write a target, and tells failures of the system in the words of this package.

    Raises:
        IntactError: Another writer holds the target, its folder is not there, or the system refuses a write.
    """
    if not target.parent.is_dir():
        raise IntactError("the folder of the output does not exist", path=str(target.parent), help="make the folder first")
    try:
        with only_writer(target):
            yield
    except OSError as error:
        raise failure(error, target) from error


def failure(error: OSError, target: Path) -> IntactError:
    """Returns what the system said, and what it means for the target."""
    hints = {
        errno.ENOSPC: "make room on the disk, or save elsewhere",
        errno.EDQUOT: "make room within the quota, or save elsewhere",
        errno.EROFS: "save to a file system that can be written",
        errno.EACCES: "save where you may write",
        errno.EPERM: "save where you may write",
    }
    return IntactError(
        f"the output cannot be written: {error.strerror or error}; what stood at the path before stands there now",
        path=str(target),
        help=hints.get(error.errno or 0, ""),
    )


@contextmanager
def drafted(
    target: Path, *, overwrite: bool = True, durable: bool = True, lock: Path | None = None, final: bool = True
) -> Iterator[Path]:
    """Gives the path of a draft to write, and puts it in the place of `target` when the block ends well.

    For the holder of the target's lock (`writing`). The draft may be a file or a folder, whichever the block makes.

    Args:
        target: Where it is to be.
        overwrite: Whether something that stands there may be replaced.
        durable: Whether to wait until the disk has it; without, a power cut may take the last saves.
        lock: The path whose lock is held, where that is another one; the draft is called as its drafts are.
        final: Whether readers have the new content from then on; not so for a part that nothing leads to yet.

    Raises:
        IntactError: The target exists and may not be replaced, or it is in place and the disk did not confirm it.
        OSError: The system refuses.
    """
    if not overwrite and os.path.lexists(target):
        raise IntactError(
            "the output exists already", path=str(target), help="name another file, or say --force (overwrite=True)"
        )
    draft = target.with_name(f"{stem_of(lock or target)}{secrets.token_hex(6)}.tmp")
    try:
        yield draft
        if durable:
            sync_tree(draft) if draft.is_dir() else sync(draft)
        _put(draft, target, overwrite)
        if durable:
            _confirm(target) if final else sync(target.parent)
    finally:
        with suppress(OSError):
            removed(draft)


def _confirm(target: Path) -> None:
    """Waits until the disk has the new name; a failure here is told apart, because the old content is gone."""
    try:
        sync(target.parent)
    except OSError as error:
        raise IntactError(
            f"the new content stands at the path, and the disk did not confirm it: {error.strerror or error}",
            path=str(target),
            help="look after the disk, and save again: a power cut now could bring the old content back",
        ) from error


def write_atomically(target: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Lets `write` fill a draft and puts it in the place of `target`.

    Args:
        target: Where the file is to be; its folder must exist.
        write: Writes the whole content to the path it is given.
        overwrite: Whether an existing file may be replaced.

    Raises:
        IntactError: The target exists and may not be replaced, or the folder does not take the file.
    """
    with writing(target), drafted(target, overwrite=overwrite) as draft:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the mode is the umask's, not the writer's
        mode = os.stat(draft).st_mode
        write(draft)
        os.chmod(draft, mode & 0o777)


def _put(draft: Path, target: Path, overwrite: bool) -> None:
    if draft.is_dir():
        put_in_place(draft, target, target.with_name(f"{stem_of(target)}{secrets.token_hex(6)}.tmp"))
    elif overwrite:
        os.replace(draft, target)
    else:
        _put_if_free(draft, target)


def _put_if_free(draft: Path, target: Path) -> None:
    """Gives the file its name unless somebody took that name meanwhile, which a rename alone would not notice."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # a file system without links, such as FAT
        try:
            os.replace(draft, target)
        except BaseException:
            os.unlink(target)
            raise
