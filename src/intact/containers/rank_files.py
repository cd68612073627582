"""The files that the processes of one training run saved each for itself, read as one checkpoint.

`model_world_size_8_rank_3.pt` and its kind hold the part of every tensor that one process had. The files differ in one number
of their names; the wholes are put together from what each part says of itself. What is not cut (buffers, counters, arguments) is
that of the first file: every process has its own, and torch keeps those of the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from intact.containers.dcp_assembly import Undoing, overlap, place_chunk
from intact.containers.dcp_metadata import Chunk
from intact.containers.distributed import Piece, Pieces
from intact.containers.merging import merged_names
from intact.containers.objects import Walked, walk
from intact.containers.pickled import Beside, PickledContainer
from intact.containers.shown import listed, shown, shown_list
from intact.core.checksum import Checksum
from intact.core.container import Container, Foreign, Storage, TensorRecord
from intact.core.description import Description, Source
from intact.core.dtype import dtype_named
from intact.core.keys import natural_order
from intact.core.remark import Remark
from intact.core.wording import count
from intact.errors import CannotRead, Damaged

NAME = "rank-files"
FILES_LIMIT = 4096
"""Files of one set; the largest runs save from as many processes."""
OPEN_FILES = 128
ENTRIES_LIMIT = 100_000
NESTING_LIMIT = 100

_NUMBER = re.compile(r"\d+")

Open = Callable[[Path], Container]


def siblings(path: Path) -> list[list[str]]:
    """Returns the files of a folder whose names differ from one in a single number, that one among them, in its order.

    One list for each number of the name that any other file differs in, the last number first.
    """
    try:
        names = [entry.name for entry, _ in zip(os.scandir(path.parent), range(ENTRIES_LIMIT), strict=False)]
    except OSError:
        return []
    found = []
    for number in reversed(list(_NUMBER.finditer(path.name))):
        before, behind = path.name[: number.start()], path.name[number.end() :]
        alike = re.compile(re.escape(before) + r"\d+" + re.escape(behind))
        same = sorted((name for name in names if alike.fullmatch(name)), key=natural_order)
        if 1 < len(same) <= FILES_LIMIT:
            found.append(same)
    return found


def joined(first: PickledContainer, opened: Open) -> Container:
    """Returns the checkpoint of all files of a run, where they are there and make up wholes; otherwise the one given.

    Args:
        first: One of them, open; closed where it is not returned.
        opened: Opens another.

    Raises:
        CannotRead: The files beside it cannot be read, or are of another save; where no others make up wholes.
    """
    path = Path(first.source.path)
    refused: CannotRead | None = None
    for names in siblings(path) if first.source.files == (path.name,) else []:
        try:
            made = RankFiles(path.parent, names, opened)
        except CannotRead as error:
            refused = refused or error
            continue
        gaps = made.gaps()
        if not gaps:
            first.close()
            return made
        first.beside = first.beside or Beside(tuple(names), gaps[0], *made.covered(gaps[0]))
        made.close()
    if refused is not None and first.beside is None:
        raise refused
    return first


class RankFiles(Undoing):
    """One opened set of files.

    Attributes:
        source: All files; the first of them stands for the set.
    """

    def __init__(self, folder: Path, names: list[str], opened: Open) -> None:
        super().__init__()
        self._folder = folder
        self._names = names
        self._opener = opened
        self._opened: dict[str, PickledContainer] = {}
        self._pieces: dict[str, list[tuple[str, Piece]]] = {}
        self._wholes: dict[str, Pieces] = {}
        self._storages: dict[tuple[str, str], str] = {}
        try:
            sources = [self._gathered(name) for name in names]
        except BaseException:
            self.close()
            raise
        self.source = replace(
            sources[0], container=NAME, size_bytes=sum(source.size_bytes for source in sources), files=tuple(names)
        )

    def _gathered(self, name: str) -> Source:
        """Takes note of what one file holds of each tensor."""
        container = self._file(name)
        for path, pieces in container.pieces.items():
            known = self._wholes.setdefault(path, pieces)
            if (known.shape, known.dtype) != (pieces.shape, pieces.dtype):
                raise Damaged(
                    f"`{shown(name)}` holds a part of `{shown(path)}` as {pieces.dtype} {list(pieces.shape)}, and "
                    f"`{shown(self._names[0])}` as {known.dtype} {list(known.shape)}",
                    code="file/mixed-shards",
                    path=str(self._folder / name),
                    evidence={"key": shown(path), "file": shown(name)},
                    help="the files are of different saves; copy all files of one",
                )
            held = self._pieces.setdefault(path, [])
            places = {(piece.offsets, piece.record.shape) for _, piece in held}
            for piece in pieces.held:  # processes that only repeat each other hold the same part
                if (piece.offsets, piece.record.shape) not in places and piece.record.elements:
                    held.append((name, piece))
                    if piece.record.storage is not None:
                        self._storages[name, piece.record.storage.name] = path
        return container.source

    def covered(self, path: str) -> tuple[int, int]:
        """Returns how many values of a tensor the files hold, and how many it has."""
        held = (prod(piece.record.shape) for _, piece in self._pieces.get(path, ()))
        return sum(held), prod(self._wholes[path].shape)

    def gaps(self) -> list[str]:
        """Returns the tensors that the files together do not hold whole."""
        return [path for path in self._wholes if not self._is_covered(path)]

    def _is_covered(self, path: str) -> bool:
        chunks = [_chunk(piece) for _, piece in self._pieces.get(path, ())]
        return sum(prod(chunk.sizes) for chunk in chunks) == prod(self._wholes[path].shape) and not overlap(chunks)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What the first file says of itself, and that it is one of several."""
        number = len(self._names)
        own = Remark(
            "file/missing-shard",
            f"each of {number} files holds the part of one process; together they are {count(len(self._wholes), 'whole tensor')}",
            "error",
            evidence={"files": shown_list(self._names), "tensors": len(self._wholes)},
            cause="every process of the run saved its own state dict (FSDP, tensor parallel); torch reads each of them alone",
            help="intact puts the parts together; to have one file, write it anew: intact convert FOLDER NEW.safetensors",
            opened=True,
        )
        return (*(remark for remark in self._file(self._names[0]).own_remarks), own)

    def describe(self) -> Description:
        """Returns what the files hold together."""
        return self._walked.description

    @cached_property
    def _walked(self) -> Walked:
        names = merged_names(name for file in self._names for name in self._file(file).describe().foreign)
        walked = walk(self.objects(), names, str(self._folder))
        known = self._file(self._names[0]).describe().known
        return replace(walked, description=replace(walked.description, known=known))

    def objects(self) -> Any:
        """Returns the nesting of the first file, with wholes in place of the parts."""
        return self._objects

    @cached_property
    def _objects(self) -> Any:
        return _Joining(self).of(self._file(self._names[0]).objects())

    def whole(self, value: Foreign) -> TensorRecord | None:
        """Returns the whole tensor of which a record of the first file is a part."""
        path = self._paths.get(id(value))
        return self._records[path] if path is not None else None

    @cached_property
    def _paths(self) -> Mapping[int, str]:
        return self._file(self._names[0]).piece_paths

    @cached_property
    def _records(self) -> dict[str, TensorRecord]:
        return {path: _record(path, whole) for path, whole in self._wholes.items()}

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor that `describe` lists under a key.

        Raises:
            KeyError: It lists none.
        """
        return self._walked.records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of a tensor in C order, put together from its parts; those of any other storage from the first file.

        Raises:
            Damaged: A part is not all there.
        """
        if storage.file != NAME:
            return self._file(self._names[0]).storage_bytes(storage)
        path = storage.name
        whole = self._wholes[path]
        known = dtype_named(whole.dtype)
        width = known.itemsize_bytes if known else 1
        made = bytearray(storage.size_bytes)
        for name, piece in self._pieces.get(path, ()):
            place_chunk(made, whole.shape, _chunk(piece), self._content(name, piece, path), width)
        return memoryview(made)

    def _content(self, name: str, piece: Piece, path: str) -> memoryview:
        """Returns the bytes of a part in C order."""
        record = piece.record
        if record.storage is None or record.storage.byteorder != "little":
            raise Damaged(
                f"the part of `{shown(path)}` is not in the byte order of torch's files",
                code="file/foreign-format",
                path=str(self._folder / name),
            )
        begin, end = record.span_bytes
        content = self._file(name).storage_bytes(record.storage)
        content = self._undone(content, f"{name}: ", self._file(name), record.storage)
        return content[begin:end]

    def checksums(self) -> Iterator[Checksum]:
        """Yields the checksums of all files, each with its file in front."""
        for name in self._names:
            for each in self._file(name).checksums():
                of = self._storages.get((name, each.storage), each.storage if name == self._names[0] else "")
                yield replace(each, record=f"{name}: {each.record}", storage=of)

    def forget(self) -> None:
        """Gives back the memory of pages that were read."""
        for container in self._opened.values():
            container.forget()

    def close(self) -> None:
        """Closes all files."""
        for container in self._opened.values():
            container.close()
        self._opened.clear()

    def _file(self, name: str) -> PickledContainer:
        found = self._opened.get(name)
        if found is None:
            if len(self._opened) >= OPEN_FILES:  # the first file is asked most, and stays
                self._opened.pop(next(other for other in self._opened if other != self._names[0])).close()
            container = self._opener(self._folder / name)
            if not isinstance(container, PickledContainer):
                container.close()
                raise Damaged(
                    f"`{shown(name)}` is {container.source.container}, and {listed(self._names[:1])} is a torch file",
                    code="file/mixed-shards",
                    path=str(self._folder / name),
                    help="take the file out of the folder, or name the checkpoint itself",
                )
            found = self._opened[name] = container
        return found


class _Joining:
    """The first file's nesting with wholes in it; one object stays one object."""

    def __init__(self, files: RankFiles) -> None:
        self._files = files
        self._made: dict[int, tuple[object, Any]] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, Foreign):
            return self._files.whole(value) or value
        if not isinstance(value, (dict, list, tuple)) or depth >= NESTING_LIMIT:
            return value
        if id(value) in self._made:
            return self._made[id(value)][1]
        if isinstance(value, tuple):
            made: Any = type(value)(self.of(item, depth + 1) for item in value)
            self._made[id(value)] = (value, made)
            return made
        made = type(value)()
        self._made[id(value)] = (value, made)  # before its content, which may lead back to it
        if isinstance(value, dict):
            made.update((key, self.of(item, depth + 1)) for key, item in value.items())
            vars_of = getattr(value, "__dict__", None)
            if vars_of:
                made.__dict__.update(vars_of)  # `_metadata` of a state dict
        else:
            made.extend(self.of(item, depth + 1) for item in value)
        return made


def _chunk(piece: Piece) -> Chunk:
    return Chunk(piece.offsets, piece.record.shape, None)


def _record(path: str, whole: Pieces) -> TensorRecord:
    known = dtype_named(whole.dtype)
    stride = tuple(prod(max(size, 1) for size in whole.shape[place + 1 :]) for place in range(len(whole.shape)))
    size = prod(whole.shape) * (known.itemsize_bytes if known else 1)
    return TensorRecord(Storage(path, whole.dtype, size, file=NAME), whole.dtype, whole.shape, stride)
