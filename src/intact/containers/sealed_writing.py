"""A sealed checkpoint on disk: one safetensors file, or a set of shards with an index.

One file is written as a draft and renamed. A set is switched over by its index alone: shards have names that no other save uses,
so that the old index and its shards stay whole until the new index takes its place, in one rename. Then what the old one named is
removed. Readers that open the path at any moment find one of the two, complete.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from intact.containers.sealed import DIGITS, INDEX_BEGIN, ZEROS, Entry, Header, with_own_name
from intact.containers.shard_index import INDEX_LIMIT_BYTES, INDEX_SUFFIX, SHARD_NAME, read_index
from intact.core.manifest import HEADER, Manifest, Shard
from intact.errors import IntactError
from intact.files.atomic import drafted, writing
from intact.files.digests import chunk_count, digest
from intact.files.reading import BoundedFile
from intact.files.streaming import Piece, reserve, write_pieces
from intact.files.trees import sync

SUFFIX = ".safetensors"

PROGRAM_SUFFIX = ".pt2"

IDENTITY_DIGITS = 12
"""Digits of the save's identity that the names of its shards carry."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor that is to be written.

    Attributes:
        entry: Key, dtype, shape and size.
        piece: Its bytes.
    """

    entry: Entry
    piece: Piece


def index_of(target: Path) -> Path:
    """Returns where the index of a set stands that is saved under a path."""
    return target.with_name(target.name + INDEX_SUFFIX)


def write_file(
    target: Path, rows: Sequence[Row], manifest: Manifest, *, overwrite: bool, durable: bool, program: bytes = b""
) -> None:
    """Writes one sealed file in place of whatever checkpoint is at the path.

    Args:
        target: Its name ends in `.safetensors`.
        rows: The tensors in the order of their bytes.
        manifest: What is recorded.
        overwrite: Whether a checkpoint that stands there may be replaced.
        durable: Whether to wait until the disk has it.
        program: Content of the program that the manifest names, where it names one.

    Raises:
        IntactError: The path is taken, another writer holds it, or the system refuses.
    """
    index = index_of(target)
    with writing(target):
        _refuse_taken((target, index), overwrite)
        old = (index, *map(target.with_name, _cleared(target)), *_programs(target))
        with _replacing(target, manifest.save, old, _program_of(target, manifest), durable=durable):
            _write_program(target, manifest, program, durable=durable)
            with drafted(target, overwrite=overwrite, durable=durable) as draft:
                _write(draft, rows, manifest)


def write_set(
    target: Path,
    shards: Sequence[Sequence[Row]],
    manifest: Manifest,
    *,
    overwrite: bool,
    durable: bool,
    program: bytes = b"",
) -> Path:
    """Writes a sealed set of shards in place of whatever checkpoint is at the path, and returns its index.

    Args:
        target: What the set is saved under (`model.safetensors`): its index is `model.safetensors.index.json`.
        shards: The tensors of each file.
        manifest: What is recorded, kept in the index.
        overwrite: Whether a checkpoint that stands there may be replaced.
        durable: Whether to wait until the disk has it.
        program: Content of the program that the manifest names, where it names one.

    Raises:
        IntactError: The path is taken, another writer holds it, or the system refuses.
    """
    index = index_of(target)
    with writing(target):
        _refuse_taken((target, index), overwrite)
        old = (target, *map(target.with_name, _cleared(target)), *_programs(target))
        names = [_shard_name(target, manifest.save, number, len(shards)) for number in range(1, len(shards) + 1)]
        new = (*map(target.with_name, names), *_program_of(target, manifest))
        with _replacing(index, manifest.save, old, new, durable=durable):
            _write_program(target, manifest, program, durable=durable)
            for number, (name, rows) in enumerate(zip(names, shards, strict=True), 1):
                part = Shard(number, len(shards))
                own = Manifest(manifest.version, manifest.save, manifest.writer, manifest.created, shard=part)
                with drafted(target.with_name(name), durable=durable, lock=target, final=False) as draft:
                    _write(draft, rows, own)
            with drafted(index, durable=durable, lock=target) as draft:
                _write_whole(draft, _bounded(index_bytes(names, shards, manifest)))
    return index


def program_name(target: Path, save: str) -> str:
    """Returns what the program of a save is called, beside the checkpoint."""
    return f"{target.name.removesuffix(SUFFIX)}-{save[:IDENTITY_DIGITS]}{PROGRAM_SUFFIX}"


def _program_of(target: Path, manifest: Manifest) -> tuple[Path, ...]:
    return (target.with_name(manifest.program.file),) if manifest.program is not None else ()


def _write_program(target: Path, manifest: Manifest, content: bytes, *, durable: bool) -> None:
    for path in _program_of(target, manifest):
        with drafted(path, durable=durable, lock=target, final=False) as draft:
            _write_whole(draft, content)


def _programs(target: Path) -> list[Path]:
    """Programs of earlier saves to a path, those of killed ones included."""
    stem = re.escape(target.name.removesuffix(SUFFIX))
    pattern = re.compile(rf"{stem}-[0-9a-f]{{{IDENTITY_DIGITS}}}{re.escape(PROGRAM_SUFFIX)}")
    with os.scandir(target.parent) as entries:
        return [target.with_name(entry.name) for entry in entries if pattern.fullmatch(entry.name)]


@contextmanager
def _replacing(place: Path, save: str, old: Collection[Path], new: Collection[Path], *, durable: bool) -> Iterator[None]:
    """Removes the files of the old checkpoint when the new one stands, and those of the new one where it does not come to that.

    Where the disk did not confirm the new one, a power cut may bring the old one back: both stay.

    Args:
        place: The file that tells which of the two stands.
        save: Identity of the new one.
        old: Files of the old one, the one by which it is opened first.
        new: Files of the new one.
        durable: Whether the disk is waited for.
    """
    try:
        yield
    except BaseException as error:
        there = _save_at(place)
        if there is not None and there != save:
            _remove(new)
        elif there == save and isinstance(error, KeyboardInterrupt):
            with suppress(OSError):
                if durable:
                    sync(place.parent)
                _remove(old)
        raise
    _remove(old, entry=True)


def _save_at(place: Path) -> str | None:
    """Returns the identity of the save that an index or file is of; "" for another one or none, None where it cannot be read."""
    if not os.path.lexists(place):
        return ""
    with suppress(IntactError), BoundedFile(place) as file:
        try:
            manifest = read_index(file).manifest if place.name.endswith(INDEX_SUFFIX) else _manifest_in(file)
        except IntactError:
            return ""
        return manifest.save if manifest is not None else ""
    return None


def _manifest_in(file: BoundedFile) -> Manifest | None:
    from intact.containers.safetensors import open_file  # which knows the seal, as this module does

    return open_file(file).manifest


def index_bytes(names: Sequence[str], shards: Sequence[Sequence[Row]], manifest: Manifest) -> bytes:
    """Returns the index of a set: the usual map of keys to files, the manifest in its metadata, and a digest of all of it."""
    total = sum(row.entry.size_bytes for rows in shards for row in rows)
    home = {row.entry.key: name for name, rows in zip(names, shards, strict=True) for row in rows}
    metadata: dict[str, Any] = {HEADER: ZEROS.decode(), "total_size": total, **manifest.to_metadata()}
    text = bytearray(with_own_name(msgspec.json.encode({"metadata": metadata, "weight_map": home})) + b"\n")
    text[len(INDEX_BEGIN) : len(INDEX_BEGIN) + DIGITS] = digest(text).hex().encode()
    return bytes(text)


def _bounded(index: bytes) -> bytes:
    """Returns an index that readers accept."""
    if len(index) > INDEX_LIMIT_BYTES:
        raise IntactError(
            f"the index would have {len(index):,} bytes, and readers accept {INDEX_LIMIT_BYTES:,}",
            help="save fewer and smaller entries that are no tensors",
        )
    return index


def _refuse_taken(paths: Iterable[Path], overwrite: bool) -> None:
    taken = next((path for path in paths if os.path.lexists(path)), None)
    if taken is not None and not overwrite:
        raise IntactError("the output exists already", path=str(taken), help="name another file, or say overwrite=True")


def _write(draft: Path, rows: Sequence[Row], manifest: Manifest) -> None:
    """Writes one file; its header comes last, so that a draft that was cut off is no checkpoint to any reader."""
    header = Header([row.entry for row in rows], manifest, sum(chunk_count(row.entry.size_bytes) for row in rows))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(draft, flags, 0o666)
    try:
        reserve(descriptor, len(header) + header.data_bytes)
        digests = write_pieces(descriptor, len(header), [row.piece for row in rows])
        _put_at_begin(descriptor, header.finished(digests))
        if not header.data_bytes:
            os.ftruncate(descriptor, len(header))
    finally:
        os.close(descriptor)


def _put_at_begin(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _write_whole(draft: Path, content: bytes) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _put_at_begin(descriptor, content)
    finally:
        os.close(descriptor)


def _shard_name(target: Path, save: str, number: int, count: int) -> str:
    return f"{target.name.removesuffix(SUFFIX)}-{save[:IDENTITY_DIGITS]}-{number:05}-of-{count:05}{SUFFIX}"


def _named_by(index: Path) -> set[str] | None:
    """Returns the files that an index names; None where it is there and makes no sense.

    Raises:
        OSError: It cannot be read.
    """
    if not os.path.lexists(index):
        return set()
    try:
        with BoundedFile(index) as file:
            return set(read_index(file).home.values())
    except IntactError as error:
        if isinstance(error.__cause__, OSError) and os.path.exists(index):
            raise error.__cause__ from None
        return None


def _cleared(target: Path) -> Collection[str]:
    """Returns the shards of the checkpoint at a path, and removes those of saves that were killed before their index was there.

    For the holder of the lock. Only what is named as shards are is ever removed: an index is text from somebody else. Where it
    cannot be read, nobody knows which shards are dead.
    """
    named = _named_by(index_of(target))
    if named is None:
        return ()
    with os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if entry.name not in named]
    _remove(path for path in map(target.with_name, names) if _is_dead_shard(path, target))
    return [name for name in named if SHARD_NAME.fullmatch(name) and name.endswith(SUFFIX) and "/" not in name]


def _is_dead_shard(path: Path, target: Path) -> bool:
    """Whether a file that no index names is a shard of a save to this path: by its name, and by what it says itself."""
    stem = re.escape(target.name.removesuffix(SUFFIX))
    match = re.fullmatch(rf"{stem}-([0-9a-f]{{{IDENTITY_DIGITS}}})-\d{{5,}}-of-\d{{5,}}{re.escape(SUFFIX)}", path.name)
    if match is None:
        return False
    with suppress(IntactError), BoundedFile(path) as file:
        manifest = _manifest_in(file)
        return manifest is not None and manifest.shard is not None and manifest.save.startswith(match[1])
    return False


def _remove(paths: Iterable[Path], *, entry: bool = False) -> None:
    """Removes files that no longer belong to the checkpoint; what cannot be removed is left, and harms nobody. Ctrl-C waits.

    Args:
        paths: The files.
        entry: Whether the first is the one by which the old checkpoint is opened: while it stands, the others must stand too.

    Raises:
        IntactError: The entry cannot be removed, and goes on leading to the old checkpoint.
    """
    left, interrupted = deque(paths), None
    while left:
        try:
            while left:
                try:
                    os.unlink(left[0])
                except OSError as error:
                    if entry and not isinstance(error, FileNotFoundError):
                        raise _stays(left[0], error) from error
                entry = False
                left.popleft()
        except KeyboardInterrupt as error:  # noqa: PERF203 - wherever in the loop it comes, what is left is removed all the same
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _stays(path: Path, error: OSError) -> IntactError:
    return IntactError(
        f"the new checkpoint was written, and {path.name}, which it replaces, cannot be removed: {error.strerror or error}",
        path=str(path),
        help="remove that file, or save again: whoever opens it gets the old checkpoint",
    )


def split(rows: Sequence[Row], limit_bytes: int) -> list[Sequence[Row]]:
    """Returns rows in files of at most so many bytes of tensors; one that is larger gets a file of its own."""
    files: list[list[Row]] = [[]]
    size = 0
    for row in rows:
        if files[-1] and size + row.entry.size_bytes > limit_bytes:
            files.append([])
            size = 0
        files[-1].append(row)
        size += row.entry.size_bytes
    return list(files)
