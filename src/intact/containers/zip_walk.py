"""The records of a zip archive whose central directory is gone, found by walking from one local header to the next.

torch writes the sizes and the CRC-32 of a record behind it, as streaming writers do, so the end of a record is found by the only
descriptor that agrees with its own distance. Where the chain breaks, the walk goes on at the next header of the same folder.

Source:
    PKWARE APPNOTE 6.3.10, 4.3.7 and 4.3.9; `mz_zip_writer_add_mem_ex_v2` of the miniz in torch, checked by its files.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from struct import Struct

from intact.containers.zips import LOCAL_SIGNATURE, Entry, Zip
from intact.errors import Damaged
from intact.files.reading import BoundedFile

_LOCAL = Struct("<4s5H3I2H")
_DESCRIPTOR = Struct("<4s3I")
_DESCRIPTOR64 = Struct("<4sI2Q")
_ANY = re.compile(rb"PK(?:\x03\x04|\x07\x08)")
_BEHIND = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06", b"PK\x05\x06", b"")
_HAS_DESCRIPTOR = 8
_SIXTY_FOUR = 0xFFFFFFFF
_NAME_LIMIT = 4096
_CLAIMS_LIMIT = 8
RECORDS_LIMIT = 1_000_000


class WalkedZip(Zip):
    """The records of one archive, by their local headers.

    Attributes:
        entries: Name in lower case to record; one that ends early reaches to the end of the file, or to the next header.
        cut: Headers of the records whose end is not marked: what they hold may be less, or more, than was written.
        end: Where the last record ends, its descriptor included.

    Raises:
        Damaged: There is no record at the begin of the file.
    """

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._data = file.view(0, file.size_bytes)
        self._inflated_bytes = 0
        self.directory_begin = self.directory_end = file.size_bytes
        self.repeated: list[Entry] = []
        self.cut: set[int] = set()
        self.end = 0
        self._headers: list[int] = []
        self._descriptors: dict[int, list[tuple[int, Struct]]] = {}
        self._look()
        self.entries = self._walk()
        if not self.entries:
            raise self._damaged("there is no record at the begin of the archive")

    def ends_after(self, entry: Entry, size_bytes: int) -> bool:
        """Whether a record ends where one of this size does; the last one may lack its descriptor."""
        return entry.header not in self.cut or 0 <= entry.size_bytes - size_bytes <= _DESCRIPTOR64.size

    def _walk(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        at = 0
        while len(found) + len(self.repeated) < RECORDS_LIMIT:
            entry, behind = self._record(at)
            if entry is None:
                if bytes(self._data[at : at + 4]) in (b"PK\x01\x02", b"PK\x06\x06", b"PK\x05\x06"):
                    return found
                following = self._next_header(at + 1)
                if following is None:
                    return found
                at = following
                continue
            if found.setdefault(entry.name.lower(), entry) is not entry:
                self.repeated.append(entry)
            self.end = at = behind
        return found

    def _record(self, at: int) -> tuple[Entry | None, int]:
        """Returns the record whose header is at a position, and where it ends; None where there is none."""
        if at + _LOCAL.size > self._file.size_bytes:
            return None, at
        signature, _, flags, method, _, _, crc, stored, size, name_length, extra_length = _LOCAL.unpack_from(self._data, at)
        begin = at + _LOCAL.size + name_length + extra_length
        if signature != LOCAL_SIGNATURE or not 0 < name_length <= _NAME_LIMIT or begin > self._file.size_bytes:
            return None, at
        name = bytes(self._data[at + _LOCAL.size : at + _LOCAL.size + name_length]).decode("utf-8", "backslashreplace")
        if flags & _HAS_DESCRIPTOR and not stored:
            return self._described(Entry(name, method, flags & 1, 0, 0, 0, at), begin)
        if _SIXTY_FOUR in (stored, size):
            try:
                extra = bytes(self._data[begin - extra_length : begin])
                size, stored = self._sizes_of_64_bits(name, extra, size, stored)
            except Damaged:
                return None, at
        if begin + stored > self._file.size_bytes:
            return self._ended(Entry(name, method, flags & 1, 0, 0, 0, at), begin)
        return Entry(name, method, flags & 1, crc, stored, size, at), begin + stored

    def _described(self, entry: Entry, begin: int) -> tuple[Entry, int]:
        """Returns a record whose sizes stand behind it."""
        for at, form in self._descriptors.get(begin, ()):
            _, crc, stored, size = form.unpack_from(self._data, at)
            behind = at + form.size
            if bytes(self._data[behind : behind + 4]) in _BEHIND:
                return Entry(entry.name, entry.method, entry.flags, crc, stored, size, entry.header), behind
        return self._ended(entry, begin)

    def _ended(self, entry: Entry, begin: int) -> tuple[Entry, int]:
        """Returns a record without an end of its own: it can reach no further than the next header, or the end of the file."""
        self.cut.add(entry.header)
        end = self._next_header(begin) or self._file.size_bytes
        return Entry(entry.name, entry.method, entry.flags, 0, end - begin, end - begin, entry.header), end

    def _next_header(self, begin: int) -> int | None:
        """Returns the next local header that names a record of the folder in which the archive began."""
        place = bisect_left(self._headers, begin)
        return self._headers[place] if place < len(self._headers) else None

    def _look(self) -> None:
        """Finds all headers and descriptors in one pass, so that a file made of nothing else takes no longer than another."""
        length = _LOCAL.unpack_from(self._data, 0)[9] if self._file.size_bytes >= _LOCAL.size else 0
        folder = bytes(self._data[_LOCAL.size : _LOCAL.size + min(length, _NAME_LIMIT)]).partition(b"/")[0] + b"/"
        for match in _ANY.finditer(self._data):
            at = match.start()
            if match.group() == LOCAL_SIGNATURE:
                if bytes(self._data[at + _LOCAL.size : at + _LOCAL.size + len(folder)]) == folder:
                    self._headers.append(at)
            else:
                self._note_descriptor(at)
            if len(self._headers) + len(self._descriptors) > RECORDS_LIMIT:
                break

    def _note_descriptor(self, at: int) -> None:
        """Notes where the record would begin that a descriptor belongs to, in both widths of its sizes."""
        for form in (_DESCRIPTOR, _DESCRIPTOR64):
            if at + form.size <= self._file.size_bytes and (begin := at - form.unpack_from(self._data, at)[2]) >= 0:
                places = self._descriptors.setdefault(begin, [])
                if len(places) < _CLAIMS_LIMIT:
                    places.append((at, form))
