"""The bytes of a checkpoint held against the digests that were recorded when it was sealed.

Every byte of every tensor is read once, at the speed of memory, and damage is told by tensor and by byte range in the file. What
keeps no digests cannot be verified, and is never called verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from intact.containers.sealed import SealedRuns
from intact.containers.sidecar import SealedFile, Sidecar, beside, read_sidecar
from intact.core.checksum import Checksum
from intact.core.container import Container, TensorRecord
from intact.core.description import Integrity, Source
from intact.core.finding import Finding
from intact.core.manifest import VERSION, Manifest
from intact.core.wording import count, some
from intact.errors import Damaged, IntactError
from intact.files.crc32 import crc32, flipped_bit
from intact.files.digests import ALGORITHM, DIGEST_BYTES, chunk_count, digest, in_shares
from intact.files.reading import BoundedFile

RUN_BYTES = 16 << 20
"""Bytes of one piece of work."""

CHANGES_LISTED = 1000
"""Changed chunks that evidence lists; their number and the keys are always complete."""


@dataclass(frozen=True, slots=True)
class Change:
    """A chunk whose bytes are not those that were sealed.

    Attributes:
        key: The tensor.
        file: Which file of a set; "" for a single file.
        chunk: Number of the chunk within the tensor, from 0.
        begin: First byte of the chunk, from the begin of the file.
        end: One past its last byte.
        record: Name of the record whose checksum does not agree; "" where digests of chunks were kept.
        flip: Byte within the record and bit whose flip alone would explain it; None where no single one does.
        placed: Whether the bytes stand in the file as they are.
    """

    key: str
    file: str
    chunk: int
    begin: int
    end: int
    record: str = ""
    flip: tuple[int, int] | None = None
    placed: bool = True


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of holding a checkpoint against its digests.

    Attributes:
        changes: Chunks that changed, in the order of the files.
        checked_bytes: Bytes that were read and compared.
        sealed: Whether there were digests at all.
        kind: What they are.
    """

    changes: tuple[Change, ...] = ()
    checked_bytes: int = 0
    sealed: bool = False
    kind: Literal["xxh3-128", "crc32"] = ALGORITHM


def verify_container(container: Container) -> Verified:
    """Returns what came of holding an open checkpoint against the digests that it carries, or that stand beside it.

    Raises:
        CannotRead: The seal beside it cannot be read.
    """
    runs: Iterable[SealedRuns] = getattr(container, "sealed_runs", tuple)()
    verified = _verified(runs)
    if verified.sealed:
        program = program_changes(container)
        return replace(verified, changes=(*verified.changes, *program))
    beside = verify_beside(Path(container.source.path), lambda: container)
    return beside if beside.sealed else _by_checksums(container)


def _by_checksums(container: Container) -> Verified:
    """What came of holding the records of an archive against the CRC-32 that it keeps of them."""
    checksums: list[Checksum] = list(getattr(container, "checksums", tuple)())
    kept = [checksum for checksum in checksums if checksum.expected]
    if not kept:
        return Verified()
    wrong: list[tuple[Checksum, int]] = []
    in_shares(
        kept,
        [len(checksum.content) for checksum in kept],
        lambda part: wrong.extend((c, found) for c in part if (found := crc32(c.content)) != c.expected),
        "checksums",
    )
    rows = sorted(wrong, key=lambda row: row[0].record)
    named = tuple(change for row in rows for change in _with_keys(_record_changed(*row), row[0], container))
    return Verified(named, sum(len(checksum.content) for checksum in kept), len(kept) == len(checksums), "crc32")


def _with_keys(change: Change, checksum: Checksum, container: Container) -> Iterator[Change]:
    """Yields a change under the keys of the tensors whose storage it is in; "" for the other parts of a container."""
    keys = [key for key in container.describe().tensors if _touches(container.record(key), checksum)] if checksum.storage else []
    yield from (replace(change, key=key) for key in keys or [""])


def _touches(record: TensorRecord, checksum: Checksum) -> bool:
    """Whether a tensor is of a storage, and its bytes are among those of the checksum."""
    return any(part.storage is not None and part.storage.name == checksum.storage for part in (record, *record.parts.values()))


def _record_changed(checksum: Checksum, found: int) -> Change:
    size = len(checksum.content)
    begin = max(checksum.begin, 0)
    return Change(
        "", "", 0, begin, begin + size, checksum.record, flipped_bit(size, checksum.expected ^ found), checksum.begin >= 0
    )


def program_changes(container: Container) -> tuple[Change, ...]:
    """Returns what changed in the program that was saved beside the checkpoint, where there was one.

    Raises:
        CannotRead: It is not there any more, or not as large as it was.
    """
    manifest: Manifest | None = getattr(container, "manifest", None)
    if manifest is None or manifest.program is None:
        return ()
    program, folder = manifest.program, Path(container.source.path).parent
    sidecar = Sidecar(VERSION, manifest.save, {program.file: SealedFile(program.size_bytes, program.digests)})
    if not (folder / program.file).is_file():
        raise Damaged(
            f"`{program.file}`, the program that was saved with it, is missing",
            code="file/missing-shard",
            path=str(folder),
            evidence={"missing": [program.file]},
            help="copy it too; the weights are whole without it, and load into a model that you build",
        )
    return _files_verified(folder, sidecar).changes


def verify_beside(path: Path, opened: Callable[[], Container | None] = lambda: None) -> Verified:
    """Returns what came of holding the files of a checkpoint against the seal beside it.

    Args:
        path: The checkpoint, or the index of a set.
        opened: Gives the open checkpoint, so that changes are told by tensor; None where it cannot be opened.

    Raises:
        CannotRead: The seal cannot be read.
    """
    place = beside(path)
    if not place.is_file():
        return Verified()
    found = _by_generation(path.parent, read_sidecar(place))
    return replace(found, changes=tuple(_named(found.changes, opened)), sealed=True)


def _by_generation(folder: Path, sidecar: Sidecar) -> Verified:
    """What came of it, by what was sealed last or, where that save was killed before its rename, by what stood there."""
    before = Sidecar(sidecar.version, sidecar.save, sidecar.before, chunk_bytes=sidecar.chunk_bytes)
    try:
        found = _files_verified(folder, sidecar)
    except Damaged:
        if not sidecar.before:
            raise
        return _files_verified(folder, before)
    if not found.changes or not sidecar.before:
        return found
    with suppress(Damaged):
        found = min(found, _files_verified(folder, before), key=lambda verified: len(verified.changes))
    return found


def _files_verified(folder: Path, sidecar: Sidecar) -> Verified:
    with ExitStack() as stack:
        return _verified(_whole_files(folder, sidecar, stack))


def _verified(runs: Iterable[SealedRuns]) -> Verified:
    changes: list[Change] = []
    checked_bytes, sealed = 0, False
    for run in runs:
        sealed = True
        changes += sorted(changes_of(run), key=lambda change: (change.begin, change.chunk))
        checked_bytes += sum(end - begin for _, begin, end in run.ranges)
    return Verified(tuple(changes), checked_bytes, sealed)


def _whole_files(folder: Path, sidecar: Sidecar, stack: ExitStack) -> Iterator[SealedRuns]:
    """Yields each file of a checkpoint as one run; bytes that are missing or too many count as changed."""
    for name, sealed in sidecar.files.items():
        file = stack.enter_context(BoundedFile(folder / name))
        digests = sealed.decoded(sidecar.chunk_bytes)
        end = min(file.size_bytes, sealed.size_bytes)
        if file.size_bytes != sealed.size_bytes:
            raise Damaged(
                f"`{name}` has {file.size_bytes} bytes, and had {sealed.size_bytes} when it was sealed",
                code="file/truncated" if file.size_bytes < sealed.size_bytes else "file/checksum-mismatch",
                path=str(folder / name),
                evidence={"size_bytes": file.size_bytes, "sealed_bytes": sealed.size_bytes},
                help="fetch or copy the file again; if it was meant to change, seal it anew",
            )
        yield SealedRuns(file, [("", 0, end)], digests, sidecar.chunk_bytes, name)


def _named(changes: Sequence[Change], opened: Callable[[], Container | None]) -> Iterator[Change]:
    """Yields changes under the keys of the tensors whose bytes lie there; "" for bytes of no tensor."""
    container = opened() if changes else None
    if container is None:
        yield from changes
        return
    ranges = list(_ranges(container))
    alone = len(container.source.files) <= 1
    for change in changes:
        keys = [
            key for key, file, begin, end in ranges if begin < change.end and end > change.begin and file in (change.file, "")
        ]
        file = "" if alone else change.file
        yield from (replace(change, key=key, file=file) for key in keys or [""])


def _ranges(container: Container) -> Iterator[tuple[str, str, int, int]]:
    for key in container.describe().tensors:
        record = container.record(key)
        if record.storage is not None and record.storage.begin >= 0:
            begin, end = record.span_bytes
            yield key, record.storage.file, record.storage.begin + begin, record.storage.begin + end


def changes_of(run: SealedRuns, skipped: Collection[str] = ()) -> list[Change]:
    """Returns the chunks of one file that changed; in any order, because several threads look.

    Args:
        run: The tensors and their digests.
        skipped: Keys of tensors that are not looked at.
    """
    view = run.file.view(0, run.file.size_bytes)
    run.file.expect_reading()
    pieces = [piece for piece in _pieces(run.ranges, run.chunk_bytes) if piece.key not in skipped]
    changes: list[Change] = []
    in_shares(
        pieces,
        [piece.end - piece.begin for piece in pieces],
        lambda part: changes.extend(change for piece in part for change in _changed(piece, run, view)),
        "checksums",
    )
    return changes


@dataclass(frozen=True, slots=True)
class _Piece:
    """Chunks of one tensor that are digested one after the other."""

    key: str
    begin: int
    end: int
    first_chunk: int
    place: int


def _pieces(ranges: Sequence[tuple[str, int, int]], chunk_bytes: int) -> Iterator[_Piece]:
    step = max(RUN_BYTES // chunk_bytes, 1) * chunk_bytes
    place = 0
    for key, begin, end in ranges:
        for at in range(begin, max(end, begin + 1), step):
            first = (at - begin) // chunk_bytes
            yield _Piece(key, at, min(at + step, end), first, place + first)
        place += chunk_count(end - begin, chunk_bytes)


def _changed(piece: _Piece, run: SealedRuns, view: memoryview) -> Iterator[Change]:
    chunk_bytes, wanted = run.chunk_bytes, run.digests
    at, chunk, place = piece.begin, piece.first_chunk, piece.place * DIGEST_BYTES
    while True:
        end = min(at + chunk_bytes, piece.end)
        if digest(view[at:end]) != wanted[place : place + DIGEST_BYTES]:
            yield Change(piece.key, run.name, chunk, at, end)
        at, chunk, place = end, chunk + 1, place + DIGEST_BYTES
        if at >= piece.end:
            return


def findings_of(verified: Verified, source: Source, aliases: Iterable[tuple[str, str]] = ()) -> Iterator[Finding]:
    """Yields the damage as one finding, with every tensor that it touches.

    Args:
        verified: What came of it.
        source: The checkpoint.
        aliases: Tied keys without bytes of their own, each with the key that has them.
    """
    if not verified.changes:
        return
    if verified.kind == "crc32":
        yield _damaged_records(verified)
        return
    stored = dict.fromkeys(change.key for change in verified.changes if change.key)
    keys = (*stored, *(key for key, kept in aliases if kept in stored))
    first = verified.changes[0]
    what = some(keys) if keys else "the file"
    where = f" of `{first.file}`" if first.file else ""
    more = f", and {count(len(verified.changes) - 1, 'other chunk')}" if len(verified.changes) > 1 else ""
    yield Finding(
        "file/checksum-mismatch",
        "error",
        f"{what} changed since {'it was' if len(keys) < 2 else 'they were'} sealed: bytes [{first.begin}, {first.end})"
        f"{where} do not have the digest that was recorded{more}",
        keys,
        {
            "digest": ALGORITHM,
            "changed_chunks": len(verified.changes),
            "chunks": [_plain(change, source) for change in verified.changes[:CHANGES_LISTED]],
        },
        cause="bytes of the file were changed on the disk, while it was copied, or by another program",
        help="fetch or copy the file again, or restore it from a backup; tensors that are not named here are as they were saved",
    )


def _plain(change: Change, source: Source) -> dict[str, Any]:
    file = change.file or os.path.basename(source.path)
    return {"key": change.key, "file": file, "chunk": change.chunk, "begin": change.begin, "end": change.end}


def _damaged_records(verified: Verified) -> Finding:
    records = list({change.record: change for change in verified.changes}.values())
    keys = tuple(dict.fromkeys(change.key for change in verified.changes if change.key))
    first = records[0]
    what = some(keys) if keys else f"the record `{first.record}`"
    where = f"bytes [{first.begin:,}, {first.end:,})" if first.placed else f"the record `{first.record}`"
    more = f", and {count(len(records) - 1, 'other record')}" if len(records) > 1 else ""
    bit = f"; one flipped bit, {_bit(first)}, explains it" if first.flip is not None else ""
    return Finding(
        "file/checksum-mismatch",
        "error",
        f"{what} changed since the file was written: {where} {'does' if not first.placed else 'do'} not have the CRC-32 that was "
        f"kept{bit}{more}",
        keys,
        {
            "checksum": "crc32",
            "damaged_records": len(records),
            "records": [_plain_record(change) for change in records[:CHANGES_LISTED]],
        },
        cause="bytes of the file were changed on the disk, while it was copied, or by another program; torch does not look",
        help="fetch or copy the file again, or restore it from a backup; tensors that are not named here are as they were saved",
    )


def _bit(change: Change) -> str:
    assert change.flip is not None
    byte, bit = change.flip
    return f"bit {bit} of byte {change.begin + byte:,}" if change.placed else f"bit {bit} of byte {byte:,} of the record"


def _plain_record(change: Change) -> dict[str, Any]:
    plain: dict[str, Any] = {"record": change.record, "begin": change.begin if change.placed else None, "end": change.end}
    if change.flip is not None:
        size = change.end - change.begin
        plain["single_flip"] = {
            "byte": change.flip[0],
            "bit": change.flip[1],
            "chance_that_other_damage_looks_so": 8 * size / 2**32,
        }
    return plain


def checked(source: Source, verified: Verified) -> Source:
    """Returns the source with how much of it was held against digests."""
    return replace(source, integrity=Integrity(verified.kind, verified.checked_bytes)) if verified.sealed else source


def unsealed(source: Source) -> Finding:
    """Returns what is said of a checkpoint that has nothing to be verified by."""
    return Finding(
        "file/unsealed",
        "warning",
        "nothing in it can be verified: no digest was recorded, in the file or beside it",
        evidence={"integrity": source.integrity.kind},
        cause="it was written by a program that keeps no digests",
        help="seal it as it is now, and every later change is noticed: intact seal FILE",
    )


def unusable(error: IntactError) -> Finding:
    """Returns what is said of a seal that this intact cannot use, such as one of a later version."""
    return Finding("file/unsealed", "warning", f"nothing in it can be verified: {error.message}", help=error.help)
