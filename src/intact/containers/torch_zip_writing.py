"""A torch archive written record by record, so that no more than one tensor is in memory at a time.

Records lie at multiples of 64 bytes, uncompressed, each with its CRC-32, as torch writes them; every torch since 1.6 reads the
result, mapped or not.

Source:
    torch 2.13 `serialization.py` (`_save`) and `caffe2/serialize/inline_container.cc`; PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import BinaryIO

from intact.files.crc32 import crc32

ALIGNMENT = 64
_LOCAL = Struct("<4s5H3I2H")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_END64 = Struct("<4sQ2H2I4Q")
_LOCATOR = Struct("<4sIQI")
_MOST = 0xFFFFFFFF
_PADDING_ID = b"FB"
_VERSION, _VERSION64 = 20, 45
_DATE = 33  # 1 January 1980: the same content gives the same file


class ArchiveWriter:
    """One archive.

    Args:
        file: Open for writing, at its begin.
        folder: Name of the folder that the records stand in.
    """

    def __init__(self, file: BinaryIO, folder: str) -> None:
        self._file = file
        self._folder = folder
        self._at = 0
        self._central = bytearray()
        self._count = 0
        self._names = hashlib.sha1(usedforsecurity=False)

    def add(self, name: str, content: memoryview | bytes) -> None:
        """Writes a record.

        Args:
            name: Within the folder.
            content: Its bytes.
        """
        full = f"{self._folder}/{name}".encode()
        size, checksum, header = len(content), crc32(content), self._at
        large = size >= _MOST or header >= _MOST
        sizes = Struct("<2H2Q").pack(1, 16, size, size) if size >= _MOST else b""
        padding = -(header + _LOCAL.size + len(full) + len(sizes) + 4) % ALIGNMENT
        extra = sizes + _PADDING_ID + Struct("<H").pack(padding) + b"Z" * padding
        shown = _MOST if size >= _MOST else size
        version = _VERSION64 if large else _VERSION
        self._put(_LOCAL.pack(b"PK\x03\x04", version, 0, 0, 0, _DATE, checksum, shown, shown, len(full), len(extra)))
        self._put(full)
        self._put(extra)
        self._put(content)
        wide = [*([size, size] if size >= _MOST else []), *([header] if header >= _MOST else [])]
        more = Struct(f"<2H{len(wide)}Q").pack(1, 8 * len(wide), *wide) if wide else b""
        place = _MOST if header >= _MOST else header
        self._central += _CENTRAL.pack(
            b"PK\x01\x02", version, version, 0, 0, 0, _DATE, checksum, shown, shown, len(full), len(more), 0, 0, 0, 0, place
        )
        self._central += full + more
        self._count += 1
        self._names.update(full + checksum.to_bytes(4, "little"))

    def finish(self) -> None:
        """Writes the directory."""
        self.add(".data/serialization_id", (str(int(self._names.hexdigest()[:30], 16)).zfill(40)[:40]).encode())
        begin, size = self._at, len(self._central)
        self._put(bytes(self._central))
        end = self._at
        if begin >= _MOST or size >= _MOST or self._count >= 0xFFFF:
            self._put(
                _END64.pack(b"PK\x06\x06", _END64.size - 12, _VERSION64, _VERSION64, 0, 0, self._count, self._count, size, begin)
            )
            self._put(_LOCATOR.pack(b"PK\x06\x07", 0, end, 1))
        count = min(self._count, 0xFFFF)
        self._put(_END.pack(b"PK\x05\x06", 0, 0, count, count, min(size, _MOST), min(begin, _MOST), 0))

    def _put(self, content: memoryview | bytes) -> None:
        self._file.write(content)
        self._at += len(content)
