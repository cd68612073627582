"""`torch.save` to a path, whole or not at all, with a seal beside it.

torch itself writes the file, under its own name in a draft folder beside the target, so that it is the file that would have been
there otherwise, byte for byte. Its digests are taken while the disk takes it. Then three renames follow: a seal that is right for
the old file and for the new one, the file, and the seal of the new file alone. A kill between any two of them leaves a file and a
seal that is right for it. Where no draft can be made, torch writes in place as ever, and the user is told.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from intact.containers.sidecar import SealedFile, Sidecar, beside, read_sidecar, sealed_files, sidecar_bytes
from intact.core.manifest import VERSION
from intact.core.report import VERSION as RELEASE
from intact.errors import CannotRead, IntactError
from intact.files.locking import only_writer, stem_of
from intact.files.trees import removed, sync
from intact.guard_files import identity_of, path_of, tell
from intact.guard_writeback import begun, freed_later, written_back

WAIT_S = 600.0
"""How long another writer of the same path is waited for: longer than a save takes, shorter than a job waits for a rank."""

_LOOK_AGAIN_S = 0.02

_NO_DRAFTS = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EBUSY, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP,
    errno.ENOSYS, errno.EMLINK, errno.ELOOP, errno.ETXTBSY,
})  # fmt: skip
"""What a folder answers that takes no new file, or a name that cannot be given anew; writing in place may work all the same."""

Write = Callable[[str], object]


class _NoDraft(Exception):
    """The folder takes no draft, or does not give the file its name."""


def guarded_save(original: Callable[..., Any], obj: object, f: Any, *args: Any, **kwargs: Any) -> None:
    """Saves as `torch.save` does, atomically and with a seal where `f` is a path.

    Args:
        original: torch's own function.
        obj: What is saved.
        f: Where to; a file object goes to torch as it is.
        *args: More for torch.
        **kwargs: More for torch.
    """
    target = path_of(f)
    if target is None:
        original(obj, f, *args, **kwargs)
        return
    try:
        told = _save(lambda path: original(obj, path, *args, **kwargs), target)
    except _NoDraft as error:
        with suppress(OSError):
            beside(target).unlink(missing_ok=True)
        original(obj, f, *args, **kwargs)
        told = f"{target} was written in place, not atomically and without a seal: {error}"
    if told:
        tell(told)


def _save(write: Write, target: Path) -> str:
    """Saves, and returns what the user is to be told."""
    with ExitStack() as stack:
        with _as_no_draft():
            other = stack.enter_context(_alone(target))
            folder = stack.enter_context(_draft_folder(target))
        draft = folder / target.name
        with written_back(draft):
            write(str(draft))
        sealed = _sealed(draft)
        seals = _seals(target, sealed, folder) if sealed is not None else None
        if other and seals is not None and seals.unchanged:
            return f"{other}; it wrote the same content"
        with _as_no_draft():
            unsealed = _put(draft, target, seals)
    if other:
        return f"{other}, and was waited for; what is saved last stays"
    return f"{target} is saved, and not sealed: {unsealed}" if unsealed else ""


@contextmanager
def _as_no_draft() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_DRAFTS:
            raise
        raise _NoDraft(error.strerror or str(error)) from error


@contextmanager
def _alone(target: Path) -> Iterator[str]:
    """Waits for the right to write a target; gives who held it meanwhile, "" where nobody did.

    An error in one rank of a distributed run leaves the others waiting for it, so whoever comes second waits and is told.
    """
    other, end = "", time.monotonic() + WAIT_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_writer(target))
                break
            except IntactError as error:
                process = error.evidence.get("process")
                who = "another thread" if process == os.getpid() else f"process {process}" if process else "another writer"
                other = f"file/concurrent-writes: {who} was saving to {target} at the same time"
                if time.monotonic() > end:
                    break  # drafts have names of their own: both files are whole, and the last one stays
                time.sleep(_LOOK_AGAIN_S)
        yield other


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """Gives a folder beside the target, which the next writer clears where this one is killed."""
    folder = target.with_name(f"{stem_of(target)}{secrets.token_hex(6)}.tmp")
    os.mkdir(folder)
    try:
        yield folder
    finally:
        with suppress(OSError):
            removed(folder)


def _sealed(draft: Path) -> SealedFile | None:
    """Returns the digests of a draft, taken while the disk takes its bytes; None where they cannot be."""
    failed: list[OSError] = []

    def synced() -> None:
        try:
            sync(draft)
        except OSError as error:
            failed.append(error)

    syncing, sealed = begun(synced), None
    try:
        sealed = sealed_files(draft.parent, (draft.name,))[draft.name]
        sealed = msgspec.structs.replace(sealed, identity=identity_of(draft))
    except (CannotRead, RuntimeError):  # digesting takes threads too, and an interpreter that is ending starts none
        pass
    finally:
        synced() if syncing is None else syncing.join()
    if failed:
        raise failed[0]
    return sealed


@dataclass(frozen=True, slots=True)
class _Seals:
    """Seals that are written and wait for their rename.

    Attributes:
        settled: That of the new file alone.
        pending: That of both files; None where there is none of the old one.
        unchanged: Whether the file that stands there is the new one already.
    """

    settled: Path
    pending: Path | None
    unchanged: bool


def _seals(target: Path, sealed: SealedFile, folder: Path) -> _Seals | None:
    """Writes the seals of a save into its draft folder; None where the disk does not take them."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    new = Sidecar(VERSION, secrets.token_hex(16), {target.name: sealed}, f"intact {RELEASE} guard", created)
    old = _settled(target)
    try:
        settled = _written(folder / "settled", new)
        pending = _written(folder / "pending", msgspec.structs.replace(new, before=old.files)) if old is not None else None
    except OSError:
        return None
    return _Seals(settled, pending, old is not None and old.files == new.files)


def _written(path: Path, seal: Sidecar) -> Path:
    with open(path, "xb") as stream:
        stream.write(sidecar_bytes(seal))
        stream.flush()
        os.fsync(stream.fileno())
    return path


def _settled(target: Path) -> Sidecar | None:
    """The seal of the file that stands there, where there is one and it is about that file for all that can be seen."""
    try:
        seal = read_sidecar(beside(target))
        alone = list(seal.files) == [target.name] and not seal.before
        return seal if alone and seal.files[target.name].size_bytes == target.stat().st_size else None
    except (CannotRead, OSError):
        return None


def _put(draft: Path, target: Path, seals: _Seals | None) -> str:
    """Gives the file and its seal their names; returns why there is no seal, "" where there is one."""
    place = beside(target)
    with suppress(OSError):  # a file that only its owner may read stays so, as it would have been written in place
        os.chmod(draft, target.stat().st_mode & 0o777)
    if seals is not None and seals.pending is not None:
        os.replace(seals.pending, place)
    else:
        place.unlink(missing_ok=True)  # a seal of something else must not stand beside the new file, not for a moment
    with freed_later(target):
        os.replace(draft, target)
    sync(target.parent)
    if seals is None:
        return "the seal could not be made"
    try:
        os.replace(seals.settled, place)
    except OSError as error:
        return error.strerror or str(error)
    return ""
