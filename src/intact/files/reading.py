"""Bounded reading of one file: every range is checked against the size before a byte is touched.

A file is mapped copy-on-write, so that views of it are writable for those who need that (torch warns about read-only memory) and
no write ever reaches the disk. A file that cannot be mapped (empty, or on a file system without mmap) is read instead.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from types import TracebackType

from intact.errors import CannotRead, Damaged

READ_WITHOUT_MAPPING_LIMIT_BYTES = 1 << 30
"""Largest file that is read into memory where mapping fails; larger ones are refused rather than swapped."""


class BoundedFile:
    """One open file of known size.

    Args:
        path: The file.

    Raises:
        CannotRead: It does not exist, is a folder, or may not be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            with open(self.path, "rb") as stream:
                self.size_bytes = os.fstat(stream.fileno()).st_size
                self._map: mmap.mmap | None = None
                self._view = memoryview(self._content(stream.fileno()))
        except OSError as error:
            raise CannotRead(f"cannot be read: {error.strerror or error}", path=str(path)) from error

    def _content(self, descriptor: int) -> mmap.mmap | bytes:
        if self.size_bytes == 0:
            return b""
        try:
            self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError):
            if self.size_bytes > READ_WITHOUT_MAPPING_LIMIT_BYTES:
                raise
            return os.read(descriptor, self.size_bytes)
        return self._map

    def view(self, begin: int, end: int, *, what: str = "bytes") -> memoryview:
        """Returns the bytes `[begin, end)` without copying them.

        Args:
            begin: First byte, from the start of the file.
            end: One past the last byte.
            what: What they are, for the error.

        Raises:
            Damaged: The range is not within the file (`file/truncated`).
        """
        if not 0 <= begin <= end:
            raise Damaged(f"{what}: the byte range [{begin}, {end}) is impossible", code="file/bad-header", path=str(self.path))
        if end > self.size_bytes:
            raise Damaged(
                f"{what} need bytes up to {end}, and the file ends at {self.size_bytes}: {end - self.size_bytes} are missing",
                code="file/truncated",
                path=str(self.path),
                evidence={"needed_bytes": end, "size_bytes": self.size_bytes},
            )
        return self._view[begin:end]

    def head(self, count: int) -> bytes:
        """Returns the first bytes, fewer where the file is shorter."""
        return bytes(self._view[:count])

    def tail(self, count: int) -> bytes:
        """Returns the last bytes, fewer where the file is shorter."""
        return bytes(self._view[max(0, self.size_bytes - count) :])

    def close(self) -> None:
        """Releases the mapping; views that somebody still holds keep it alive until they are gone."""
        try:
            self._view.release()
            if self._map is not None:
                self._map.close()
        except BufferError:
            pass

    def __enter__(self) -> BoundedFile:
        """The file itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it."""
        self.close()
