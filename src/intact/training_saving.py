"""Training state as a folder: every part in a sealed file, the rest in an index, switched over as a whole.

The folder is written as a draft, so that at every moment the path holds the old save or the new one, complete. A folder that
holds anything else than a save of training state is never replaced.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from intact.containers.sealed_writing import SUFFIX
from intact.containers.training_folder import INDEX, NAME, VERSION, Part, State, files_of, index_bytes
from intact.core.collecting import collector_paused
from intact.core.description import Integrity, Source, Writer
from intact.core.report import VERSION as PROGRAM
from intact.core.report import Report, Target
from intact.core.wording import some
from intact.errors import IntactError
from intact.files.atomic import drafted, writing
from intact.files.digests import ALGORITHM
from intact.model.training_state import is_training
from intact.sealing import write
from intact.training import in_part
from intact.training_taking import TakenPart, taken


@collector_paused()
def save_training(
    objects: Mapping[str, Any],
    path: str | os.PathLike[str],
    allow: Iterable[str] = (),
    *,
    overwrite: bool = True,
    durable: bool = True,
    include_source: bool = False,
) -> Report:
    """Writes training state as a folder and returns the report of the audits before it, keys with the object's name in front.

    Raises:
        LoadRefused: Something of a model would not survive that was not allowed.
        IntactError: Something has no plain form, the path is taken, or the system refuses.
    """
    target = folder_of(path)
    parts = taken(objects, allow, include_source=include_source)
    files = write_training(target, parts, overwrite=overwrite, durable=durable)
    return _report(target, files, parts)


def write_training(
    target: Path,
    parts: Mapping[str, TakenPart],
    *,
    overwrite: bool = True,
    durable: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Writes what was taken, and returns the names of the files.

    Args:
        target: The folder.
        parts: By name.
        overwrite: Whether a save that stands there may be replaced.
        durable: Whether to wait until the disk has it.
        notes: Plain values that the index keeps beside the parts.

    Raises:
        IntactError: The path is taken, another writer holds it, or the system refuses.
    """
    if not target.parent.exists():
        target.parent.mkdir(parents=True)
    with writing(target):
        _refuse_foreign(target, overwrite)
        with drafted(target, overwrite=overwrite, durable=durable) as draft:
            draft.mkdir()
            files = _file_names(parts)
            written = {name: _written(draft / files[name], part) for name, part in parts.items()}
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            state = State(VERSION, secrets.token_hex(16), written, f"intact {PROGRAM}", created, dict(notes or {}))
            (draft / INDEX).write_bytes(index_bytes(state))
    return (INDEX, *(part.file for part in written.values() if part.file))


def _written(path: Path, part: TakenPart) -> Part:
    """Writes the file of a part, and returns what the index says of it.

    Raises:
        OSError: The system refuses; what that means for the folder is told by whoever holds it.
    """
    if part.contents is None:
        return part.part
    try:
        file = write(path, part.contents, part.records or {}, durable=False)
        return msgspec.structs.replace(part.part, file=file.name, save=_save_in(file))
    except IntactError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


def folder_of(path: str | os.PathLike[str]) -> Path:
    """Returns the folder that a save of training state writes.

    Raises:
        IntactError: A file stands at the path, or its name promises one.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise IntactError(
            "training state is saved as a folder, and a file stands at the path", path=str(target), help="name another"
        )
    if target.suffix.lower() in (SUFFIX, ".pt", ".pth", ".ckpt", ".bin"):
        raise IntactError(
            f"training state is saved as a folder, and the name ends in {target.suffix}",
            path=str(target),
            help=f"name it {target.with_suffix('')}",
        )
    return target


def _refuse_foreign(target: Path, overwrite: bool) -> None:
    """Raises where the switch would remove what no save of training state wrote."""
    if not target.exists() or not overwrite:
        return
    present = {name for name in os.listdir(target) if not name.startswith(".intact")}
    own = files_of(target)
    foreign = sorted(present - (own or frozenset()))
    shards = re.compile(r".*-[0-9a-f]{12}-\d{5,}-of-\d{5,}\.safetensors")
    foreign = [name for name in foreign if own is None or not shards.fullmatch(name)]
    if foreign:
        raise IntactError(
            f"the folder holds {some(foreign)}, which is no part of a save of training state and would be removed",
            path=str(target),
            help="name a folder of its own for each save, such as run/step-7",
        )


def _file_names(objects: Iterable[str]) -> dict[str, str]:
    """Returns a file name for each object: its own name where that is one, and none twice."""
    made: dict[str, str] = {}
    for name in objects:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name).strip(".")[:80] or "part"
        free, number = plain, 2
        while f"{free}{SUFFIX}".lower() in {other.lower() for other in made.values()}:
            free, number = f"{plain}-{number}", number + 1
        made[name] = f"{free}{SUFFIX}"
    return made


def _save_in(written: Path) -> str:
    """Returns the identity of the save that wrote a file."""
    from contextlib import closing

    from intact.containers import open_container

    with closing(open_container(written)) as container:
        return str(container.manifest.save)  # type: ignore[attr-defined]


def _report(target: Path, files: tuple[str, ...], parts: Mapping[str, TakenPart]) -> Report:
    """Returns the findings of all audits, with the object's name in front of each key."""
    audits = {name: part.audit for name, part in parts.items() if part.audit is not None}
    size = 0
    with suppress(OSError):  # the save is done, and only its size is not known
        size = sum((target / name).stat().st_size for name in files)
    source = Source(os.fspath(target), NAME, size, files, Writer("intact", PROGRAM), Integrity(ALGORITHM))
    tensors = sum(report.target.tensors for report in audits.values() if report.target is not None)
    classes = (part.part.class_name.rpartition(".")[2] or part.part.kind for part in parts.values())
    findings = tuple(in_part(name, finding) for name, report in audits.items() for finding in report.findings)
    return Report(source, Target(", ".join(classes), tensors), findings)


def save_if_training(
    objects: Mapping[str, Any],
    path: str | os.PathLike[str],
    allow: Iterable[str],
    *,
    overwrite: bool,
    durable: bool,
    include_source: bool,
    of_a_model: Mapping[str, Any],
) -> Report | None:
    """Saves a mapping of objects as training state; None, with nothing done, where the mapping is a state dict.

    Raises:
        IntactError: An option was given that is of a model alone.
    """
    if not is_training(objects):
        return None
    if given := [name for name, value in of_a_model.items() if value is not None]:
        raise IntactError(f"{some(given)} is for saving a model alone", help="save the model by itself as well")
    return save_training(objects, path, allow, overwrite=overwrite, durable=durable, include_source=include_source)
