"""From a path that a user names to the one file that holds, or leads to, a checkpoint.

A folder is taken for what its files say: a set with an index, one checkpoint among configuration and training state, or something
that is not one checkpoint and is named for what it is. Where two files could be meant, the user has to say which.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from intact.containers.shown import listed, shown, shown_list
from intact.core.keys import natural_order
from intact.core.wording import count
from intact.errors import CannotRead, Damaged, IntactError, NotACheckpoint

ENTRIES_LIMIT = 20_000
"""Entries of a folder that are looked at; a folder of a training run has hundreds."""

NEAR_ENOUGH = 70
"""Similarity of two names, of 100, from which one is offered for the other."""

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".th", ".t7", ".pkl", ".pickle", ".tar")
"""Endings of checkpoints; asked only where no file of a folder has the content of one."""

_COMPANIONS = re.compile(
    r"^(optimizer|optim|scheduler|lr_scheduler|scaler|grad_scaler|sampler|rng_state|random_states|training_args|trainer_state)"
    r"(_\w+)?\.\w+$"
)
"""What training programs put beside the weights of one and the same checkpoint."""

TRAINING_INDEX = "state.json"
"""What names the parts of a folder of training state."""

_PART_OF_SEALED = re.compile(r"(.*)-[0-9a-f]{12}-\d{5,}-of-\d{5,}\.safetensors", re.DOTALL)
"""What the shards of a sealed set are called that is saved under the name in front."""

_SHARD = re.compile(r"-\d{2,6}-of-\d{2,6}\.\w+$")

Recognise = Callable[[Path], str]
"""Path of a file to the name of its container by content, "" for none."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a folder holds, by kind of entry, each list in natural order."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    dangling: tuple[str, ...]


def located(path: Path, recognise: Recognise) -> Path:
    """Returns the file to open for a path that a user named.

    Args:
        path: A file or a folder.
        recognise: Tells the container of a file.

    Raises:
        CannotRead: There is nothing, or it may not be read.
        Damaged: A link leads nowhere (`file/dangling-link`).
        NotACheckpoint: A folder holds none, several, or another kind of checkpoint.
    """
    try:
        is_folder = path.is_dir()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if (index := path.with_name(path.name + ".index.json")).is_file():
            return index  # the name under which a set was saved
        raise _not_there(path) from None
    except (OSError, ValueError) as error:
        raise CannotRead(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=str(path)) from None
    return _in_folder(_listing(path), recognise) if is_folder else path


def _not_there(path: Path) -> CannotRead:
    if os.path.islink(path):
        return Damaged(
            f"it is a link to {shown(os.readlink(path))}, which is not there",
            code="file/dangling-link",
            path=str(path),
            evidence={"target": os.readlink(path)},
            help="copy the file itself, with links resolved (cp -L), or download it again",
        )
    if not path.parent.is_dir():
        return CannotRead(
            f"there is no such file, and no folder {shown(str(path.parent))}", path=str(path), help="correct the path"
        )
    near = _nearest(path)
    return CannotRead(
        "there is no such file or folder",
        path=str(path),
        evidence={"nearest": near},
        help=f"did you mean {path.parent / near}?" if near else "correct the path",
    )


def _nearest(path: Path) -> str:
    from rapidfuzz import process

    listing = _listing(path.parent)
    found = process.extractOne(path.name, (*listing.files, *listing.folders), score_cutoff=NEAR_ENOUGH)
    return str(found[0]) if found else ""


def _listing(path: Path) -> _Listing:
    names: dict[str, list[str]] = {"folder": [], "file": [], "dangling": [], "other": []}
    try:
        with os.scandir(path) as entries:
            for entry, _ in zip(entries, range(ENTRIES_LIMIT), strict=False):
                names[_kind(entry)].append(entry.name)
    except OSError as error:
        raise CannotRead(f"cannot be read: {error.strerror or error}", path=str(path)) from None
    return _Listing(path, *(tuple(sorted(names[kind], key=natural_order)) for kind in ("file", "folder", "dangling")))


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "dangling" if entry.is_symlink() else "other"
    except OSError:  # a link that leads back to itself
        return "dangling"


def _in_folder(folder: _Listing, recognise: Recognise) -> Path:
    if ".metadata" in folder.files and recognise(folder.path / ".metadata") == "dcp":
        return folder.path / ".metadata"
    _refuse_other_layouts(folder)
    if "data.pkl" in folder.files and recognise(folder.path / "data.pkl") == "unpacked-archive":
        return folder.path / "data.pkl"
    if TRAINING_INDEX in folder.files and recognise(folder.path / TRAINING_INDEX) == "training-folder":
        return folder.path / TRAINING_INDEX
    visible = [name for name in folder.files if not name.startswith(".")]
    indexes = [name for name in visible if name.endswith("index.json") and _is_index(folder.path / name, recognise)]
    holding = [name for name in visible if not name.endswith(".json") and recognise(folder.path / name)]
    candidates = [name for name in holding if not _COMPANIONS.match(name)] or ([] if indexes else holding)
    candidates = [name for name in candidates if not _is_left_over(name, candidates)]
    if indexes:
        candidates = [
            *indexes,
            *(name for name in candidates if not _SHARD.search(name) and not _named_by(folder.path, indexes, name)),
        ]
    if not candidates:
        candidates = [name for name in visible if name.endswith(_SUFFIXES)][:1]
    if not candidates:
        raise _nothing(folder)
    candidates = [name for name in candidates if not _is_being_replaced(folder.path, name, candidates)]
    if len(candidates) > 1 and not _are_one_set(folder.path, candidates) and not _are_of_one_run(folder.path, candidates):
        raise _several(folder, candidates)
    return folder.path / candidates[0]


def _are_one_set(folder: Path, names: list[str]) -> bool:
    """Tells whether all files are shards of one set by their names."""
    from intact.containers.unindexed import set_of  # which is not needed for most folders

    found = set_of(folder, names[0])
    return found is not None and set(names) <= set(found[0])


def _are_of_one_run(folder: Path, names: list[str]) -> bool:
    """Tells whether files that differ in one number of their names hold the parts of several processes."""
    from intact.containers import open_single  # which knows this module
    from intact.containers.rank_files import siblings

    if sorted(names, key=natural_order) not in siblings(folder / names[0]):
        return False
    with suppress(IntactError), closing(open_single(folder / names[0])) as first:
        return bool(getattr(first, "pieces", None))
    return False


def _is_being_replaced(folder: Path, name: str, others: Iterable[str]) -> bool:
    """Tells whether an index stands beside the file of its own name, both sealed: a save was stopped between the two.

    Each of them is whole, and the file is the one that opens under that name.
    """
    from intact.containers.safetensors_header import LENGTH_BYTES
    from intact.containers.sealed import BEGIN, INDEX_BEGIN
    from intact.files.reading import BoundedFile

    file = name.removesuffix(".index.json")
    if file == name or file not in others:
        return False
    with suppress(IntactError), BoundedFile(folder / name) as index, BoundedFile(folder / file) as single:
        begins = index.head(len(INDEX_BEGIN)), single.head(LENGTH_BYTES + len(BEGIN))[LENGTH_BYTES:]
        return begins == (INDEX_BEGIN, BEGIN)
    return False


def _is_left_over(name: str, others: Iterable[str]) -> bool:
    """Tells whether a file is a shard of a save over another one that was stopped before its index was there."""
    match = _PART_OF_SEALED.fullmatch(name)
    return match is not None and f"{match[1]}.safetensors" in others


def _is_index(path: Path, recognise: Recognise) -> bool:
    """Tells whether a file maps keys to shards; other programs call other things an index."""
    from intact.containers.shard_index import maps_keys
    from intact.files.reading import BoundedFile

    if recognise(path) != "sharded":
        return False
    with BoundedFile(path) as file:
        return maps_keys(file)


def _named_by(folder: Path, indexes: Iterable[str], name: str) -> bool:
    """Tells whether an index names a file as one of its shards; an index that cannot be read names none."""
    from intact.containers.shard_index import read_index
    from intact.files.reading import BoundedFile

    for index in indexes:
        with suppress(IntactError), BoundedFile(folder / index) as file:
            if name in read_index(file).home.values():
                return True
    return False


def _refuse_other_layouts(folder: _Listing) -> None:
    parts = sum(name.endswith(".distcp") for name in folder.files)
    if parts and ".metadata" in folder.files:
        raise Damaged(
            "its .metadata, which says where the tensors are, is not what torch.distributed.checkpoint writes",
            code="file/bad-header",
            path=str(folder.path),
            evidence=_contents(folder),
            help="copy the file again; without it nobody can tell which tensor is which",
        )
    if parts:
        raise Damaged(
            f"it is a folder of torch.distributed.checkpoint without its .metadata, which is written last: "
            f"{count(parts, 'file')} of the save {'is' if parts == 1 else 'are'} there",
            code="file/incomplete-save",
            path=str(folder.path),
            evidence=_contents(folder),
            help="the save was stopped, or the hidden file .metadata was not copied: look for it, or take the save before",
        )
    if "saved_model.pb" in folder.files:
        raise _other(
            folder,
            "a SavedModel folder of TensorFlow",
            "file/foreign-format",
            "load it in TensorFlow, and save the arrays as safetensors",
        )


def _other(folder: _Listing, what: str, code: str, help: str) -> NotACheckpoint:  # noqa: A002 - the word of every error
    return NotACheckpoint(f"it is {what}", code=code, path=str(folder.path), evidence=_contents(folder), help=help)


def _several(folder: _Listing, names: list[str]) -> NotACheckpoint:
    return NotACheckpoint(
        f"the folder holds {count(len(names), 'checkpoint')}: {listed(names, 5)}",
        code="file/several-checkpoints",
        path=str(folder.path),
        evidence={
            "checkpoints": shown_list(names),
            "modified_s": {shown(name): int(os.stat(folder.path / name).st_mtime) for name in names[:50]},
        },
        help=f"name the one that is meant, for example {folder.path / names[0]}",
    )


def _nothing(folder: _Listing) -> IntactError:
    if folder.dangling:
        return Damaged(
            f"the folder holds {count(len(folder.dangling), 'link')} to files that are not there: {listed(folder.dangling)}",
            code="file/dangling-link",
            path=str(folder.path),
            evidence=_contents(folder),
            help="copy the folder with its links resolved (cp -L), or download the checkpoint again",
        )
    files, folders = count(len(folder.files), "file"), count(len(folder.folders), "folder")
    there = f": {listed((*folder.files, *(name + '/' for name in folder.folders)), 8)}" if folder.files or folder.folders else ""
    return NotACheckpoint(
        f"none of the {files} and {folders} in it is a checkpoint{there}" if there else "the folder is empty",
        code="file/not-a-checkpoint",
        path=str(folder.path),
        evidence=_contents(folder),
        help="name the folder or file that holds the weights"
        + (f", perhaps in {listed(folder.folders)}" if folder.folders else ""),
    )


def _contents(folder: _Listing) -> dict[str, list[str]]:
    return {
        "files": shown_list(folder.files),
        "folders": shown_list(folder.folders),
        "dangling_links": shown_list(folder.dangling),
    }
