"""A checkpoint inside an archive or a compressed file, opened where it stands.

A member that is stored as it is needs no unpacking: it is a range of the file. What is compressed is unpacked into memory,
never to disk, and only as much as a file of that size honestly holds. An archive with several checkpoints is not opened:
which one is meant is for the user to say.
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from intact.containers.archives import content_name
from intact.containers.listings import MEMBERS_LIMIT, PEEK_BYTES, TAR_BLOCK_BYTES, is_tar_header, tar_ranges
from intact.containers.pickles import begins_as_pickle, dangers_of, names_in
from intact.containers.zips import Zip
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, ForeignName, Source
from intact.core.remark import Remark
from intact.errors import IntactError, TooLarge
from intact.files.reading import BoundedFile

DEPTH_LIMIT = 3
"""Wrappings around one another that are opened: a zip of a tar.gz is two."""

UNPACKED_LIMIT_BYTES = 1 << 28
UNPACKED_LIMIT_RATIO = 64
"""A compressed file may unpack to 256 MiB, or to 64 times its size where that is more; weights shrink by a tenth."""

SEARCHED_PICKLES = 256
"""Members that are looked at for pickles that would do harm."""

_STEP_BYTES = 1 << 22
_LZMA_MEMORY_LIMIT_BYTES = 1 << 26

Opener = Callable[[BoundedFile, int], Container]
"""Opens what was found inside, at a depth."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One member of an archive.

    Attributes:
        name: As the archive has it; "" for the content of a compressed file.
        head: Its first bytes.
        content: Gives all of it.
    """

    name: str
    head: bytes
    content: Callable[[], memoryview]


class WrappedContainer:
    """A checkpoint inside another file; everything is the inner one's, but for where it stands.

    Args:
        file: The file around it.
        inner: The opened checkpoint.
        kind: What is around it (`zip archive`, `gzip-compressed data`).
        member: Name of the checkpoint in the archive, "" where there are no names.
    """

    def __init__(self, file: BoundedFile, inner: Container, kind: str, member: str) -> None:
        self._file = file
        self._inner = inner
        self.source: Source = replace(inner.source, path=str(file.path), size_bytes=file.size_bytes, files=(file.path.name,))
        what = f"in it `{member}`" if member else "unpacked, it"
        said = Remark(
            "file/wrapped-archive",
            f"it is {_article(kind)} {kind} around a checkpoint; {what} is a {inner.source.container} file",
            "error",
            evidence={"archive": kind, "member": member, "container": inner.source.container, "size_bytes": file.size_bytes},
            cause="the file was packed for a download or a release, and no loader unpacks it",
            help="intact reads it as it is; other programs need it unpacked",
            opened=True,
        )
        self.remarks: tuple[Remark, ...] = (said, *getattr(inner, "remarks", ()))
        self.notes: tuple[IntactError, ...] = getattr(inner, "notes", ())

    def describe(self) -> Description:
        """Returns what the checkpoint inside holds."""
        return self._inner.describe()

    def objects(self) -> Any:
        """Returns its objects."""
        return self._inner.objects()

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor under a key."""
        return self._inner.record(key)

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage."""
        return self._inner.storage_bytes(storage)

    def close(self) -> None:
        """Releases both files."""
        self._inner.close()
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        """What only some formats have, such as digests, is the inner one's."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)


def unwrapped(file: BoundedFile, depth: int, open_inside: Opener) -> Container | None:
    """Returns the one checkpoint inside a file, None where there is none or more than one.

    Args:
        file: The archive or compressed file; kept by the result.
        depth: How many wrappings are around this file already.
        open_inside: Opens what is found.

    Raises:
        TooLarge: It would unpack to more than its size can justify.
        CannotRead: What is inside cannot be read.
    """
    if depth >= DEPTH_LIMIT:
        return None
    kind, parts = _parts(file)
    inside = [part for part in parts if content_name(part.head) or part.name == ""]
    chosen = _chosen(inside, parts)
    if chosen is None:
        return None
    content = BoundedFile.within(file.path, chosen.content())
    return WrappedContainer(file, open_inside(content, depth + 1), kind, chosen.name)


def dangers_inside(file: BoundedFile) -> Mapping[str, dict[str, int]]:
    """Returns what pickles inside an archive, or behind the header of an array, would do harm by, as evidence for an error."""
    names: list[ForeignName] = []
    head = file.head(PEEK_BYTES)
    if head.startswith(b"\x93NUMPY") and b"|O" in head:
        begin = 10 + int.from_bytes(head[8:10], "little") if head[6] == 1 else 12 + int.from_bytes(head[8:12], "little")
        names += names_in(file.view(0, file.size_bytes), "the objects of the array", min(begin, file.size_bytes))
    elif begins_as_pickle(head):  # one that breaks off, and would have run what it names until then
        names += names_in(file.view(0, file.size_bytes), "the file")
    elif not head.startswith(tuple(_STREAMS)):
        with suppress(IntactError):
            for part in _parts(file)[1][:SEARCHED_PICKLES]:
                if part.name and begins_as_pickle(part.head):
                    with suppress(IntactError):
                        names += names_in(part.content(), part.name)
    return dangers_of(names)


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeioux" else "a"


def _chosen(inside: list[_Part], parts: list[_Part]) -> _Part | None:
    """The checkpoint: the only one, or the one that the manifest of a known bundle names."""
    by_name = {part.name: part for part in parts}
    manifest = by_name.get("MAR-INF/MANIFEST.json")
    if manifest is not None:
        with suppress(ValueError, KeyError, TypeError, IntactError):
            return by_name[str(json.loads(bytes(manifest.content()))["model"]["serializedFile"])]
    if "_stable_baselines3_version" in by_name and "policy.pth" in by_name:
        return by_name["policy.pth"]
    weights = [part for part in inside if not part.name.rpartition("/")[2].startswith(("._", "."))]
    return weights[0] if len(weights) == 1 else None


def _parts(file: BoundedFile) -> tuple[str, list[_Part]]:
    head = file.head(TAR_BLOCK_BYTES)
    for magic, (kind, stream) in _STREAMS.items():
        if head.startswith(magic):
            content = _unpacked(file, stream)
            return f"{kind}-compressed file", [_Part("", bytes(content[:PEEK_BYTES]), lambda content=content: content)]  # type: ignore[misc]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "zip archive", list(_of_zip(file))
    if is_tar_header(head):
        return "tar archive", list(_of_tar(file.view(0, file.size_bytes)))
    return "", []


def _of_zip(file: BoundedFile) -> Iterator[_Part]:
    archive = Zip(file)
    for _, entry in zip(range(MEMBERS_LIMIT), archive.entries.values(), strict=False):
        if not entry.name.endswith("/"):
            yield _Part(entry.name, archive.head(entry, PEEK_BYTES), lambda entry=entry: archive.content(entry))  # type: ignore[misc]


def _of_tar(data: memoryview) -> Iterator[_Part]:
    for name, begin, end in tar_ranges(data):
        yield _Part(name, bytes(data[begin : min(end, begin + PEEK_BYTES)]), lambda begin=begin, end=end: data[begin:end])  # type: ignore[misc]


# --- compressed streams


def _unpacked(file: BoundedFile, stream: Callable[[], Any]) -> memoryview:
    """Returns the content of a compressed file, several streams behind one another included.

    Raises:
        TooLarge: It is larger than the limits.
        IntactError: It ends early or was damaged.
    """
    limit = max(UNPACKED_LIMIT_BYTES, UNPACKED_LIMIT_RATIO * file.size_bytes)
    data, at, content = file.view(0, file.size_bytes), 0, bytearray()
    machine = stream()
    try:
        while at < len(data):
            piece = data[at : at + _STEP_BYTES]
            at += len(piece)
            content += machine.decompress(piece, limit + 1 - len(content))
            while getattr(machine, "unconsumed_tail", b"") and len(content) <= limit:
                content += machine.decompress(machine.unconsumed_tail, limit + 1 - len(content))
            if len(content) > limit:
                raise _too_large(file, limit)
            if machine.eof:
                at -= len(machine.unused_data)
                if at >= len(data) or not bytes(data[at : at + 2]).strip(b"\0"):
                    break
                machine = stream()
        if not machine.eof:
            raise _broken(file, "it ends before its content does", "file/truncated")
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise _broken(file, f"it cannot be unpacked ({error})", "file/bad-header") from error
    return memoryview(bytes(content)) if not content else memoryview(content)


def _too_large(file: BoundedFile, limit: int) -> TooLarge:
    return TooLarge(
        f"a compressed file of {file.size_bytes:,} bytes claims to unpack to more than {limit:,}",
        code="safety/archive-bomb",
        path=str(file.path),
        help="no weights shrink that far; if you know the file, unpack it yourself and name what comes out",
    )


def _broken(file: BoundedFile, why: str, code: str) -> IntactError:
    from intact.errors import Damaged

    return Damaged(why, code=code, path=str(file.path), help="fetch or copy the compressed file again")


_STREAMS: Mapping[bytes, tuple[str, Callable[[], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY_LIMIT_BYTES)),
    **dict.fromkeys((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), ("zlib", lambda: zlib.decompressobj(15))),
    b"\x5d\x00\x00": ("lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _LZMA_MEMORY_LIMIT_BYTES)),
}
