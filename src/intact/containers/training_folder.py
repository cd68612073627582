"""A folder of training state: one index that names the parts, one sealed safetensors file for each part that has tensors.

The index (`state.json`) begins with its own digest, and gives the identity of the save that wrote each file, so that parts of two
saves are never taken for one. What is no tensor stands in the index as typed JSON; a tensor stands there by its key in the
part's file. Nothing is pickled, and no name in the folder is ever imported or called.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from intact.containers.json_members import decoder
from intact.containers.objects import Walked, walk
from intact.containers.ownership import Ownership
from intact.containers.sealed import DIGITS, ZEROS, SealedRuns, header_changed, is_own, is_unchanged, later_version, malformed
from intact.containers.shown import listed, shown, shown_list
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, Integrity, Source, Writer
from intact.core.dtype import dtype_named
from intact.core.entries import decode
from intact.core.wording import count
from intact.errors import CannotRead, Damaged, IntactError, TooLarge
from intact.files.digests import ALGORITHM, digest
from intact.files.reading import BoundedFile

NAME = "training-folder"
INDEX = "state.json"
"""What the index is called, in every folder."""

VERSION = 1
"""Version of the format; raised only by a change that older readers would misunderstand."""

HEADER = "intact.state"
BEGIN = b'{"' + HEADER.encode() + b'":"'
"""How an index begins; its own digest follows."""

LEAST_ALIKE = 12
"""Bytes of the beginning that a damaged index still has: without its index a folder would look like a model alone, and whole."""

LIMIT_BYTES = 1 << 27
"""Largest index that is read; names and numbers of a model with a million parameters take a quarter of it."""

PARTS_LIMIT = 1_000
"""Most parts; a run has ten."""

KEY = "key"
"""In place of a dtype: the tensor stands in the part's file, and the bytes are its key there."""

SHARED = "shared"
"""In place of a dtype: the tensor is one of a model's, and the bytes are the model's name, a NUL and the key there."""

COUNTER = "Counter"
"""In place of a dtype: a `collections.Counter`, and the bytes are its pairs as JSON."""

Kind = Literal["module", "optimizer", "scheduler", "scaler", "rng", "object", "value"]

SUFFIX = ".safetensors"

_FILE = re.compile(r"[^/\\\0]{1,200}")
_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class Part(msgspec.Struct, frozen=True, omit_defaults=True, rename={"class_name": "class"}):
    """One object of the training state.

    Attributes:
        kind: What it is.
        class_name: Full name of its class; a fact for comparing, never imported.
        bases: Full names of the classes that it is made from.
        file: Where its tensors are; "" where it has none.
        save: Identity of the save that wrote the file.
        content: Everything but the tensors, encoded; of a module everything is in its file.
    """

    kind: Kind
    class_name: str = ""
    bases: tuple[str, ...] = ()
    file: str = ""
    save: str = ""
    content: Any = None


class State(msgspec.Struct, frozen=True):
    """The index.

    Attributes:
        version: Version of the format.
        save: Identity of this save.
        writer: Program and version.
        created: Date and time in UTC, ISO 8601.
        notes: Plain values that whoever saved keeps beside the parts.
        parts: By the name that the user gave, in order.
    """

    version: int
    save: _Digest
    parts: dict[str, Part]
    writer: str = ""
    created: str = ""
    notes: dict[str, Any] = {}


class _Versioned(msgspec.Struct):
    version: int


_version = decoder(_Versioned)
_decoded = decoder(State)


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is an index of training state, whole or damaged."""
    head = file.head(len(BEGIN))
    return sum(there == own for there, own in zip(head, BEGIN, strict=False)) >= LEAST_ALIKE


def open_file(file: BoundedFile) -> TrainingFolder:
    """Returns the container, all parts opened and held against the index.

    Raises:
        Damaged: The index changed (`file/checksum-mismatch`) or contradicts itself (`file/bad-header`), a part is not there
            (`file/missing-shard`) or belongs to another save (`file/mixed-shards`).
        CannotRead: It is of a later version of the format, or a part cannot be read.
    """
    return TrainingFolder(file, read_index(file))


def read_index(file: BoundedFile) -> State:
    """Returns the index, held against its own digest.

    Raises:
        CannotRead: It changed, contradicts itself, leads out of its folder, or is of a later version.
    """
    if file.size_bytes > LIMIT_BYTES:
        raise TooLarge(
            f"an index of {file.size_bytes:,} bytes is none: {LIMIT_BYTES:,} are the limit",
            code="safety/archive-bomb",
            path=str(file.path),
        )
    content = file.view(0, file.size_bytes)
    if not is_own(content, BEGIN) or not is_unchanged(content, len(BEGIN)):
        raise header_changed(file, "index")
    try:
        version = _version(content).version
        if version != VERSION:
            raise later_version(file, version)
        state = _decoded(content)
    except ValueError as error:
        raise malformed(file, str(error)) from None
    return _checked(file, state)


def _checked(file: BoundedFile, state: State) -> State:
    if len(state.parts) > PARTS_LIMIT:
        raise malformed(file, f"it names {count(len(state.parts), 'part')}, and {PARTS_LIMIT:,} are the limit")
    names = [part.file for part in state.parts.values() if part.file]
    outside = [name for name in names if not _FILE.fullmatch(name) or name in (".", "..")]
    if outside:
        raise CannotRead(
            f"the index leads out of its folder: {listed(outside)}",
            code="safety/path-traversal",
            path=str(file.path),
            evidence={"names": shown_list(outside), "name_count": len(outside)},
            help="do not use this checkpoint before you know who wrote it",
        )
    if len(set(names)) != len(names):
        raise malformed(file, "two parts are one file")
    return state


def index_bytes(state: State) -> bytes:
    """Returns the content of the file of an index."""
    content = {HEADER: ZEROS.decode(), **msgspec.to_builtins(state)}
    text = bytearray(msgspec.json.encode(content) + b"\n")
    text[len(BEGIN) : len(BEGIN) + DIGITS] = digest(text).hex().encode()
    return bytes(text)


def files_of(folder: Path) -> frozenset[str] | None:
    """Returns the names that belong to the checkpoint in a folder, None where there is none.

    Where its index is damaged, every safetensors file beside it is taken for a part.

    Raises:
        OSError: The index cannot be read.
    """
    try:
        with BoundedFile(folder / INDEX) as file:
            if not matches(file):
                return None
            with suppress(IntactError):
                state = read_index(file)
                return frozenset({INDEX, *(part.file for part in state.parts.values() if part.file)})
    except CannotRead as error:
        if isinstance(error.__cause__, OSError) and (folder / INDEX).exists():
            raise error.__cause__ from None
        return None
    return frozenset({INDEX, *(path.name for path in folder.iterdir() if path.name.endswith((SUFFIX, SUFFIX + ".index.json")))})


class _Owned(Ownership):
    """Tensors of one part, their storages named so that those of two parts stay apart."""

    def __init__(self, file: str, container: Container, held: dict[str, tuple[Container, Storage]]) -> None:
        super().__init__(file)
        self._container = container
        self._held = held

    def record(self, record: TensorRecord) -> TensorRecord:
        """Returns a tensor whose storage leads to its part."""
        owned = super().record(record)
        if record.storage is not None and owned.storage is not None:
            name = f"{self._file}/{record.storage.file}/{record.storage.name}"
            owned.storage = replace(owned.storage, name=name)
            self._held[name] = (self._container, record.storage)
        return owned


class TrainingFolder:
    """One opened folder.

    Attributes:
        state: The index.
        source: The folder, the sizes of all files together.
        notes: What is irregular in the parts without hindering a load.
    """

    def __init__(self, file: BoundedFile, state: State) -> None:
        self._file = file
        self.state = state
        self._folder = file.path.parent
        self._opened: dict[str, Container] = {}
        self._held: dict[str, tuple[Container, Storage]] = {}
        self._inner: dict[str, bytes] = {}
        self._owners: dict[str, _Owned] = {}
        try:
            for name, part in state.parts.items():
                if part.file:
                    self._opened[name] = self._open(name, part)
        except BaseException:
            self._close_parts()  # the index stays open for whoever asks what else it may be
            raise
        parts = list(self._opened.values())
        self.notes: tuple[IntactError, ...] = tuple(note for part in parts for note in getattr(part, "notes", ()))
        self.source = Source(
            path=str(self._folder),
            container=NAME,
            size_bytes=file.size_bytes + sum(part.source.size_bytes for part in parts),
            files=(INDEX, *(name for part in parts for name in part.source.files)),
            writer=Writer(*_program(state.writer), "the index says so"),
            integrity=Integrity(ALGORITHM),
        )

    def part(self, name: str) -> Container | None:
        """Returns the open file of a module, None for anything else."""
        return self._opened.get(name) if name in self.state.parts and self.state.parts[name].kind == "module" else None

    @property
    def manifest(self) -> Any:
        """What is recorded of the model, where there is just one; None otherwise."""
        modules = [part for name in self.state.parts if (part := self.part(name)) is not None]
        return getattr(modules[0], "manifest", None) if len(modules) == 1 else None

    def describe(self) -> Description:
        """Returns all parts as one, each key with the name of its part in front."""
        return self._walked.description

    def objects(self) -> dict[str, Any]:
        """Returns name of the part to what it holds, nested as the state dicts were that were saved."""
        return self._objects

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor of that key."""
        return self._walked.records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of one storage from its part."""
        if storage.name in self._inner:
            return memoryview(self._inner[storage.name])
        container, original = self._held[storage.name]
        return container.storage_bytes(original)

    def sealed_runs(self) -> Iterator[SealedRuns]:
        """Yields the tensors of each part with the digests of their bytes."""
        for name, part in self._opened.items():
            for run in getattr(part, "sealed_runs", tuple)():
                ranges = [(f"{name}.{key}", begin, end) for key, begin, end in run.ranges]
                yield replace(run, name=run.name or self.state.parts[name].file, ranges=ranges)

    def close(self) -> None:
        """Closes the index and all parts."""
        self._close_parts()
        self._file.close()

    def _close_parts(self) -> None:
        for part in self._opened.values():
            part.close()

    @cached_property
    def _walked(self) -> Walked:
        return walk(self._objects, (), str(self._folder))

    @cached_property
    def _objects(self) -> dict[str, Any]:
        return {name: self._content(name, part) for name, part in self.state.parts.items()}

    def _owned(self, name: str) -> _Owned | None:
        """What marks the tensors of a part's file as that part's, the same for all who refer to them."""
        if name not in self._owners and name in self._opened:
            self._owners[name] = _Owned(self.state.parts[name].file, self._opened[name], self._held)
        return self._owners.get(name)

    def _content(self, name: str, part: Part) -> Any:
        opened = self._opened.get(name)
        owned = self._owned(name)
        if part.kind == "module" and opened is not None and owned is not None:
            return owned.of(opened.objects())
        try:
            return decode(part.content, lambda kind, shape, content: self._leaf(kind, shape, content, opened, owned))
        except ValueError as error:
            raise malformed(self._file, f"`{shown(name)}`: {error}") from None

    def _leaf(self, kind: str, shape: tuple[int, ...], content: bytes, opened: Container | None, owned: _Owned | None) -> Any:
        """Returns what stands in the place of a tensor: one of the part's file, a small one, or a Counter."""
        if kind == KEY and opened is not None and owned is not None:
            return owned.record(opened.record(content.decode()))
        if kind == SHARED:
            part, _, key = content.decode().partition("\0")
            other, marked = self._opened[part], self._owned(part)
            assert marked is not None
            return marked.record(other.record(key))
        if kind == COUNTER:
            pairs = decode(msgspec.json.decode(content), self._none)
            return Counter({key: number for key, number in pairs.items() if type(number) is int})
        known = dtype_named(kind)
        if known is None or prod(shape) * known.itemsize_bytes != len(content):
            raise ValueError("a tensor has other bytes than its shape takes")
        name = f"{len(self._inner)} of the index"
        self._inner[name] = content
        stride = tuple(prod(max(size, 1) for size in shape[place + 1 :]) for place in range(len(shape)))
        return TensorRecord(Storage(name, kind, len(content)), kind, shape, stride)

    @staticmethod
    def _none(kind: str, shape: tuple[int, ...], content: bytes) -> Any:  # noqa: ARG004 - the shape that `decode` calls
        raise ValueError("a tensor stands where only plain values do")

    def _open(self, name: str, part: Part) -> Container:
        """Returns the open file of a part, which the index was written with."""
        from intact.containers import container_name, open_container

        path = self._folder / part.file
        if not path.is_file():
            raise Damaged(
                f"the part `{shown(name)}` is missing: there is no file `{part.file}` in the folder",
                code="file/missing-shard",
                path=str(self._folder),
                evidence={"part": shown(name), "missing": [part.file]},
                help="copy the whole folder again; its files belong together",
            )
        if container_name(path) not in ("safetensors", "sharded"):  # another index would lead on and on
            raise malformed(self._file, f"the part `{shown(name)}` is no safetensors file")
        opened = open_container(path)
        manifest = getattr(opened, "manifest", None)
        if manifest is None or manifest.save != part.save:
            opened.close()
            raise Damaged(
                f"`{part.file}` is not the file that was saved with this index: "
                + ("it has no seal" if manifest is None else "another save wrote it"),
                code="file/mixed-shards",
                path=str(self._folder),
                evidence={"part": shown(name), "file": part.file, "save": getattr(manifest, "save", ""), "expected": part.save},
                help="the files of a folder belong together: take all of them from one save",
            )
        return opened


def _program(writer: str) -> tuple[str, str]:
    program, _, version = writer.partition(" ")
    return shown(program), shown(version)
