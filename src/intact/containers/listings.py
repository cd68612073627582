"""The members of zip and tar archives, listed from their directories without unpacking any.

Every length is held against the file, and lists are bounded, so that an archive made to burst costs no more than its directory.
Of the first members the first bytes are unpacked too, enough to tell what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intact.containers.zips import Zip
from intact.files.reading import BoundedFile

MEMBERS_LIMIT = 10_000
"""Members of an archive that are looked at; bundles have a few, and a directory of this length is read in 20 ms."""

PEEKED_LIMIT = 64
"""Members whose first bytes are looked at."""

PEEK_BYTES = 512
"""How much of a member is looked at: enough for the magic of a tar, the longest."""

TAR_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: As the archive writes it.
        head: Its first bytes, unpacked; empty where they were not looked at.
    """

    name: str
    head: bytes = b""


def zip_members(file: BoundedFile) -> Iterator[Member]:
    """Yields the files of an archive.

    Raises:
        CannotRead: It has no directory, or one that contradicts the file.
    """
    archive = Zip(file)
    for count, entry in zip(range(MEMBERS_LIMIT), archive.entries.values(), strict=False):
        if not entry.name.endswith("/"):
            yield Member(entry.name, archive.head(entry, PEEK_BYTES) if count < PEEKED_LIMIT else b"")


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
    for name, begin, end in tar_ranges(data):
        yield Member(name, bytes(data[begin : min(end, begin + PEEK_BYTES)]))


def tar_ranges(data: memoryview) -> Iterator[tuple[str, int, int]]:
    """Yields name, first byte and end of the files of an archive; the end may lie behind the bytes that are there."""
    begin = 0
    for _ in range(MEMBERS_LIMIT):
        head = bytes(data[begin : begin + TAR_BLOCK_BYTES])
        if not is_tar_header(head):
            return
        size_bytes, content = _octal(head[124:136]), begin + TAR_BLOCK_BYTES
        if head[156:157] in (b"0", b"\0"):
            prefix = head[345:500].partition(b"\0")[0] + b"/" if head[257:263] == b"ustar\0" and head[345] else b""
            name = (prefix + head[:100].partition(b"\0")[0]).decode("utf-8", "replace")
            yield name, content, content + size_bytes
        begin = content + -(-size_bytes // TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
