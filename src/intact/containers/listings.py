"""The members of zip and tar archives, listed from their directories without unpacking any.

Every length is held against the file, and lists are bounded, so that an archive made to burst costs no more than its directory.
Of the first members the first bytes are unpacked too, enough to tell what they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from intact.files.reading import BoundedFile

MEMBERS_LIMIT = 10_000
"""Members of an archive that are looked at; bundles have a few, and a directory of this length is read in 20 ms."""

PEEKED_LIMIT = 64
"""Members whose first bytes are looked at."""

PEEK_BYTES = 512
"""How much of a member is looked at: enough for the magic of a tar, the longest."""

TAR_BLOCK_BYTES = 512

_ZIP_END = struct.Struct("<4s4H2IH")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_ZIP_ENTRY = struct.Struct("<4s6H3I5H2I")
_ZIP_LOCAL = struct.Struct("<26x2H")
_ZIP_COMMENT_LIMIT_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: As the archive writes it.
        head: Its first bytes, unpacked; empty where they were not looked at.
    """

    name: str
    head: bytes = b""


def zip_directory(file: BoundedFile) -> tuple[int, int] | None:
    """Returns begin and end of the central directory, None where there is none within the file."""
    tail = file.tail(_ZIP_COMMENT_LIMIT_BYTES + _ZIP_END.size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _ZIP_END.size > len(tail):
        return None
    _, _, _, _, _, size, begin, _ = _ZIP_END.unpack_from(tail, at)
    end = file.size_bytes - len(tail) + at
    if 0xFFFFFFFF in (size, begin):
        return _zip64_directory(file, end)
    return (begin, begin + size) if begin + size <= file.size_bytes else None


def _zip64_directory(file: BoundedFile, end: int) -> tuple[int, int] | None:
    if end < _ZIP64_LOCATOR.size:
        return None
    magic, _, at, _ = _ZIP64_LOCATOR.unpack(file.view(end - _ZIP64_LOCATOR.size, end))
    if magic != b"PK\x06\x07" or at + _ZIP64_END.size > file.size_bytes:
        return None
    magic, *_, size, begin = _ZIP64_END.unpack(file.view(at, at + _ZIP64_END.size))
    return (begin, begin + size) if magic == b"PK\x06\x06" and begin + size <= file.size_bytes else None


def zip_members(file: BoundedFile, begin: int, end: int) -> Iterator[Member]:
    """Yields the files that a central directory lists.

    Args:
        file: The archive.
        begin: First byte of the directory.
        end: One past its last.
    """
    for count in range(MEMBERS_LIMIT):
        if begin + _ZIP_ENTRY.size > end:
            return
        fields = _ZIP_ENTRY.unpack(file.view(begin, begin + _ZIP_ENTRY.size))
        name_bytes, extra_bytes, comment_bytes = fields[10], fields[11], fields[12]
        name_begin = begin + _ZIP_ENTRY.size
        begin = name_begin + name_bytes + extra_bytes + comment_bytes
        if fields[0] != b"PK\x01\x02" or begin > end:
            return
        name = bytes(file.view(name_begin, name_begin + name_bytes)).decode("utf-8", "replace")
        if not name.endswith("/"):
            yield Member(name, _zip_head(file, fields[4], fields[8], fields[16]) if count < PEEKED_LIMIT else b"")


def _zip_head(file: BoundedFile, method: int, stored_bytes: int, at: int) -> bytes:
    """Returns the first bytes of a member; none for what is encrypted, damaged, or packed in an unusual way."""
    if at + _ZIP_LOCAL.size > file.size_bytes:
        return b""
    name_bytes, extra_bytes = _ZIP_LOCAL.unpack(file.view(at, at + _ZIP_LOCAL.size))
    begin = at + _ZIP_LOCAL.size + name_bytes + extra_bytes
    packed = bytes(file.view(min(begin, file.size_bytes), min(begin + min(stored_bytes, PEEK_BYTES), file.size_bytes)))
    if method == 0:
        return packed
    try:
        return zlib.decompressobj(-15).decompress(packed, PEEK_BYTES) if method == 8 else b""
    except zlib.error:
        return b""


def is_tar_header(head: bytes) -> bool:
    """Tells whether 512 bytes are a tar header: the one checksum of the format, which v7 archives without a magic have too."""
    if len(head) < TAR_BLOCK_BYTES or not head[0]:
        return False
    recorded = _octal(head[148:156])
    return recorded > 0 and recorded == sum(head[:148]) + 8 * 0x20 + sum(head[156:TAR_BLOCK_BYTES])


def _octal(field: bytes) -> int:
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and len(digits) <= 12 and all(0x30 <= digit <= 0x37 for digit in digits) else 0


def tar_members(data: memoryview) -> Iterator[Member]:
    """Yields the files of an archive, as far as its bytes are there."""
    begin = 0
    for _ in range(MEMBERS_LIMIT):
        head = bytes(data[begin : begin + TAR_BLOCK_BYTES])
        if not is_tar_header(head):
            return
        size_bytes, content = _octal(head[124:136]), begin + TAR_BLOCK_BYTES
        if head[156:157] in (b"0", b"\0"):
            prefix = head[345:500].partition(b"\0")[0] + b"/" if head[257:263] == b"ustar\0" and head[345] else b""
            name = (prefix + head[:100].partition(b"\0")[0]).decode("utf-8", "replace")
            yield Member(name, bytes(data[content : content + min(size_bytes, PEEK_BYTES)]))
        begin = content + -(-size_bytes // TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
