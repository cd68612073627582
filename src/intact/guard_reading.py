"""`torch.load` from a path: what changed since it was sealed is not loaded.

A file without a seal beside it is loaded as ever, and so is one that another program wrote over a sealed one. What is neither as
it was sealed nor whole by itself is damaged. A checkpoint may be saved anew while it is read: a verdict counts only where the
seal is the same before and after.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from intact.containers import open_container
from intact.containers.sidecar import SUFFIX, Sidecar, beside, read_sidecar
from intact.core.container import Container
from intact.core.description import Source
from intact.errors import CannotRead, Damaged
from intact.guard_files import identity_of, is_whole_by_itself, path_of, tell
from intact.verification import findings_of, verify_beside

_ATTEMPTS = 8
"""Saves that may come between; a path that changes more often than that is loaded as it is."""


def verified(f: Any) -> Any:
    """Returns what torch is to load for a path, every byte of it held against the seal beside it, where there is one.

    Args:
        f: Path or file object. The path of a seal, as a program finds it that takes the newest file of a folder, stands for the
            file that is sealed.

    Raises:
        Damaged: Bytes changed, or are missing, since it was sealed.
    """
    path = path_of(f)
    if path is None:
        return f
    if path.name.endswith(SUFFIX) and (sealed := path.with_name(path.name.removesuffix(SUFFIX))).is_file():
        path = sealed
        f = str(sealed)
    for _ in range(_ATTEMPTS):
        seal = _seal_of(path)
        if seal is None:
            return f
        damage = _damage(path)
        if damage is None:
            return f
        again = _seal_of(path)
        if again is not None and again == seal:
            if not _is_another_save(path, seal):
                raise damage
            return f
    return f


def _seal_of(path: Path) -> Sidecar | None:
    place = beside(path)
    if not place.is_file():
        return None
    try:
        return read_sidecar(place)
    except CannotRead as error:
        if place.is_file():
            tell(f"{path} is loaded without being verified, the seal beside it cannot be used: {error.message}")
        return None


def _damage(path: Path) -> Damaged | None:
    with ExitStack() as stack:
        try:
            found = verify_beside(path, lambda: _opened(path, stack))
        except Damaged as error:
            return error
        except CannotRead:  # it went away meanwhile: torch says so
            return None
        for finding in findings_of(found, Source(str(path), "", 0)):
            return Damaged(finding.headline, code=finding.code, path=str(path), evidence=finding.evidence, help=finding.help)
    return None


def _opened(path: Path, stack: ExitStack) -> Container | None:
    """The file, so that damage is told by tensor; None where it cannot be read."""
    with suppress(CannotRead):
        container = open_container(path)
        stack.callback(container.close)
        container.describe()
        return container
    return None


def _is_another_save(path: Path, seal: Sidecar) -> bool:
    """Whether a program without guard wrote the file anew: it says that it is another one, and is whole by its own checksums."""
    sealed = {file.identity for file in (*seal.files.values(), *seal.before.values())}
    found = identity_of(path) if "" not in sealed else ""
    return bool(found) and found not in sealed and is_whole_by_itself(path)
