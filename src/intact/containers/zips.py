"""The directory of a zip archive, read by ourselves and by the rules of torch's own reader.

Only what the central directory says counts: the first of two entries of one name, names compared without regard to case, local
names not looked at. Python's zipfile differs in all three, so that a file could show one content to a check and another to torch.
Every offset is held against the size of the file before it is used, and nothing is inflated beyond what was declared.

Source:
    PKWARE APPNOTE 6.3.10; torch 2.13 `caffe2/serialize/inline_container.cc` with miniz, checked by altered files.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from intact.errors import CannotRead, Damaged, NotACheckpoint, TooLarge
from intact.files.reading import BoundedFile

LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_END_SIGNATURE: Final = b"PK\x05\x06"
_END = Struct("<4s4H2IH")
_LOCATOR = Struct("<4sIQI")
_END64 = Struct("<4sQ2H2I4Q")
_CENTRAL = Struct("<4s6H3I5H2I")
_LOCAL = Struct("<4s22x2H")
_EXTRA = Struct("<2H")
_SEARCHED_BYTES = 65535 + _END.size
"""How far from the end torch looks for the end record: the longest comment there is."""
DEFLATE_RATIO_LIMIT = 1100
"""Deflate cannot shrink more than 1032 to 1; a larger claim is a lie."""
INFLATED_LIMIT_BYTES = 1 << 30
INFLATED_LIMIT_RATIO = 200
"""All deflated members of a file together may inflate to 1 GiB, or to 200 times the file where that is more."""
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive.

    Attributes:
        name: As the central directory has it.
        method: 0 stored, 8 deflated.
        flags: General purpose bits; bit 0 means encrypted.
        crc: CRC-32 of the content; 0 where the writer kept none.
        stored_bytes: Length in the file.
        size_bytes: Length of the content.
        header: Position of the local header.
    """

    name: str
    method: int
    flags: int
    crc: int
    stored_bytes: int
    size_bytes: int
    header: int


class Zip:
    """The members of one archive.

    Args:
        file: The archive.

    Raises:
        Damaged: It has no central directory (`file/truncated`), or one that contradicts the file (`file/bad-header`).
        NotACheckpoint: Several archives are laid end to end (`file/several-checkpoints`).
    """

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._data = file.view(0, file.size_bytes)
        self._inflated_bytes = 0
        end = self._end_record()
        self.directory_begin, self.directory_end, count = self._directory(end)
        self.repeated: list[Entry] = []
        """Members whose name another member had before: torch reads the first, other programs the last."""
        self.entries: Mapping[str, Entry] = self._read_entries(count)

    def __contains__(self, name: str) -> bool:
        """Whether there is a member of that name, in any case."""
        return name.lower() in self.entries

    def entry(self, name: str) -> Entry:
        """Returns the member of a name, in any case.

        Raises:
            Damaged: There is none (`file/bad-header`).
        """
        found = self.entries.get(name.lower())
        if found is None:
            raise self._damaged(f"the archive has no record {name!r}, which its pickle needs")
        return found

    def data_begin(self, entry: Entry) -> int:
        """Returns where the content of a member begins in the file.

        Raises:
            Damaged: Its local header or its content is not within the file.
        """
        if entry.header + _LOCAL.size > self.directory_begin:
            raise self._damaged(f"the record {entry.name!r} begins outside the file")
        signature, name_length, extra_length = _LOCAL.unpack_from(self._data, entry.header)
        if signature != LOCAL_SIGNATURE:
            raise self._damaged(f"there is no local header of {entry.name!r} at byte {entry.header:,}")
        begin: int = entry.header + _LOCAL.size + name_length + extra_length
        if begin + entry.stored_bytes > self.directory_begin:
            raise self._damaged(f"the record {entry.name!r} reaches into the central directory")
        return begin

    def local_name(self, entry: Entry) -> str:
        """Returns the name that the local header of a member has; programs that read an archive from its begin go by it.

        Raises:
            Damaged: As for `data_begin`.
        """
        self.data_begin(entry)
        _, length, _ = _LOCAL.unpack_from(self._data, entry.header)
        name = bytes(self._data[entry.header + _LOCAL.size : entry.header + _LOCAL.size + length])
        return name.decode("utf-8", "backslashreplace")

    def head(self, entry: Entry, count: int) -> bytes:
        """Returns the first bytes of a member; none of what is encrypted, damaged, or packed in an unusual way."""
        try:
            begin = self.data_begin(entry)
            packed = bytes(self._file.view(begin, begin + min(entry.stored_bytes, count)))
            if entry.method == _STORED:
                return packed
            return zlib.decompressobj(-15).decompress(packed, count) if entry.method == _DEFLATED else b""
        except (CannotRead, zlib.error):
            return b""

    def content(self, entry: Entry, limit_bytes: int | None = None) -> memoryview:
        """Returns the content of a member; a view of the file where it is stored as it is.

        Args:
            entry: The member.
            limit_bytes: Most bytes that the caller can use.

        Raises:
            CannotRead: It is encrypted, or compressed in a way that torch does not read either.
            Damaged: It is not what the directory says.
            TooLarge: It, or all that was inflated so far, is larger than the limits.
        """
        if entry.flags & 1 and not self._only_says_encrypted(entry):
            raise NotACheckpoint(
                f"the record {entry.name!r} is encrypted",
                code="file/foreign-format",
                path=str(self._file.path),
                help="unpack the archive with its password and name the file inside",
            )
        if limit_bytes is not None and entry.size_bytes > limit_bytes:
            raise self._too_large(
                f"the record {entry.name!r} has {entry.size_bytes:,} bytes, and {limit_bytes:,} are read at most"
            )
        begin = self.data_begin(entry)
        stored = self._file.view(begin, begin + entry.stored_bytes, what=f"the record {entry.name!r}")
        if entry.method == _STORED:
            if entry.stored_bytes != entry.size_bytes:
                raise self._damaged(f"the record {entry.name!r} is stored as it is, and has two different sizes")
            return stored
        if entry.method != _DEFLATED:
            raise CannotRead(
                f"the record {entry.name!r} is compressed by method {entry.method}, which torch does not read either",
                code="file/foreign-format",
                path=str(self._file.path),
                help="unpack the archive and pack it again without compression",
            )
        return self._inflated(entry, stored)

    def _only_says_encrypted(self, entry: Entry) -> bool:
        """Whether a member is called encrypted and is not: programs that do not look at the flag read what it hides."""
        try:
            content = self.content(replace(entry, flags=0))
        except CannotRead:
            return False
        return bool(entry.crc) and zlib.crc32(content) == entry.crc

    def _inflated(self, entry: Entry, stored: memoryview) -> memoryview:
        self._inflated_bytes += entry.size_bytes
        limit = max(INFLATED_LIMIT_BYTES, INFLATED_LIMIT_RATIO * self._file.size_bytes)
        if entry.size_bytes > DEFLATE_RATIO_LIMIT * (len(stored) + 16) or self._inflated_bytes > limit:
            raise self._too_large(
                f"the record {entry.name!r} claims to inflate from {len(stored):,} to {entry.size_bytes:,} bytes"
            )
        machine = zlib.decompressobj(-15)
        try:
            content = machine.decompress(stored, entry.size_bytes + 1)
        except zlib.error as error:
            raise self._damaged(f"the record {entry.name!r} cannot be inflated ({error})") from error
        if len(content) != entry.size_bytes or not machine.eof:
            raise self._damaged(f"the record {entry.name!r} inflates to other than the {entry.size_bytes:,} bytes declared")
        return memoryview(content)

    def _end_record(self) -> int:
        begin = max(0, self._file.size_bytes - _SEARCHED_BYTES)
        tail = self._file.tail(self._file.size_bytes - begin)
        at = tail.rfind(_END_SIGNATURE)
        while at >= 0 and at > len(tail) - _END.size:
            at = tail.rfind(_END_SIGNATURE, 0, at)
        if at < 0:
            raise Damaged(
                f"the archive has no central directory at its end: all after byte {self._file.size_bytes:,} is missing",
                code="file/truncated",
                path=str(self._file.path),
                evidence={"size_bytes": self._file.size_bytes},
                help="the copy or the save was interrupted; fetch or copy the file again, or take the checkpoint before it",
            )
        return begin + at

    def _directory(self, end: int) -> tuple[int, int, int]:
        _, _, _, _, count, size, offset, _ = _END.unpack(self._file.view(end, end + _END.size))
        last = end
        if end >= _LOCATOR.size:
            signature, _, at, _ = _LOCATOR.unpack(self._file.view(end - _LOCATOR.size, end))
            if signature == b"PK\x06\x07":
                record = self._file.view(at, at + _END64.size) if at + _END64.size <= end else memoryview(b"")
                if bytes(record[:4]) == b"PK\x06\x06":
                    _, _, _, _, _, _, _, count, size, offset = _END64.unpack(record)
                    last = at
        if offset + size > last or count * _CENTRAL.size > size or (count and not self._is_directory(offset)):
            raise self._misplaced(end)
        return offset, offset + size, count

    def _is_directory(self, offset: int) -> bool:
        return bytes(self._file.view(offset, offset + 4)) == _CENTRAL_SIGNATURE

    def _misplaced(self, end: int) -> CannotRead:
        """Returns the error of a directory that is not where it should be; where archives lie end to end, by the last one."""
        _, _, _, _, _, size, offset, _ = _END.unpack(self._file.view(end, end + _END.size))
        last = end
        before = end - _LOCATOR.size - _END64.size
        if before >= 0 and bytes(self._file.view(before, before + 4)) == b"PK\x06\x06":
            *_, size, offset = _END64.unpack(self._file.view(before, before + _END64.size))
            last = before
        shift = last - offset - size
        if shift > 0 and self._is_directory(last - size) and self._starts_archive(shift):
            return NotACheckpoint(
                f"several archives are laid end to end; the last one begins at byte {shift:,}",
                code="file/several-checkpoints",
                path=str(self._file.path),
                evidence={"last_begin": shift},
                help="this is one part of a distributed checkpoint; name the folder that holds it and its .metadata file",
            )
        return self._damaged("the end of the archive points to a central directory that is not there")

    def _starts_archive(self, at: int) -> bool:
        return bytes(self._file.view(at, at + 4)) == LOCAL_SIGNATURE

    def _read_entries(self, count: int) -> dict[str, Entry]:
        directory = bytes(self._file.view(self.directory_begin, self.directory_end))
        entries: dict[str, Entry] = {}
        at = 0
        for _ in range(count):
            if at + _CENTRAL.size > len(directory) or directory[at : at + 4] != _CENTRAL_SIGNATURE:
                raise self._damaged(f"the central directory ends after {len(entries)} of {count} records")
            entry, at = self._entry(directory, at)
            if entries.setdefault(entry.name.lower(), entry) is not entry:
                self.repeated.append(entry)
        return entries

    def _entry(self, directory: bytes, at: int) -> tuple[Entry, int]:
        fields = _CENTRAL.unpack_from(directory, at)
        flags, method, crc, stored, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length, header = fields[10], fields[11], fields[12], fields[16]
        name_end = at + _CENTRAL.size + name_length
        name = directory[at + _CENTRAL.size : name_end].decode("utf-8", "backslashreplace")
        if 0xFFFFFFFF in (stored, size, header):
            extra = directory[name_end : name_end + extra_length]
            size, stored, header = self._sizes_of_64_bits(name, extra, size, stored, header)
        return Entry(name, method, flags, crc, stored, size, header), name_end + extra_length + comment_length

    def _sizes_of_64_bits(self, name: str, extra: bytes, *fields: int) -> list[int]:
        at = 0
        while at + 4 <= len(extra):
            kind, length = _EXTRA.unpack_from(extra, at)
            if kind == 1:
                words = [
                    int.from_bytes(extra[i : i + 8], "little") for i in range(at + 4, min(at + 4 + length, len(extra)) - 7, 8)
                ]
                if len(words) >= fields.count(0xFFFFFFFF):
                    return [words.pop(0) if field == 0xFFFFFFFF else field for field in fields]
            at += 4 + length
        raise self._damaged(f"the record {name!r} says that its sizes have 64 bits, and does not give them")

    def _damaged(self, why: str) -> Damaged:
        return Damaged(
            why,
            code="file/bad-header",
            path=str(self._file.path),
            help="the file was changed after it was written, or copied badly; fetch or copy it again",
        )

    def _too_large(self, why: str) -> TooLarge:
        return TooLarge(
            why,
            code="safety/archive-bomb",
            path=str(self._file.path),
            help="no program that saves models writes such a file; do not load it with anything else either",
        )
