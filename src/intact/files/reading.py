"""Bounded reading of one file: every range is checked against the size before a byte is touched.

A file is mapped copy-on-write, so that views of it are writable for those who need that (torch warns about read-only memory) and
no write ever reaches the disk. A file that cannot be mapped (empty, or on a file system without mmap) is read instead. Only
regular files are opened: reading a pipe or a terminal would wait for somebody to write.
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from intact.errors import CannotRead, Damaged

READ_WITHOUT_MAPPING_LIMIT_BYTES = 1 << 30
"""Largest file that is read into memory where mapping fails; larger ones are refused rather than swapped."""

_LINUX_NO_RESERVE = 0x4000
"""`MAP_NORESERVE`, which Python names only since 3.11."""


class BoundedFile:
    """One open file of known size.

    Args:
        path: The file.

    Raises:
        CannotRead: It does not exist, is no regular file, or may not be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._map: mmap.mmap | None = None
        try:
            descriptor = _open_regular(self.path)
            try:
                self.size_bytes = os.fstat(descriptor).st_size
                self._view = memoryview(self._content(descriptor))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CannotRead(f"cannot be read: {error.strerror or error}", path=str(path)) from error
        except ValueError as error:  # a NUL in the name
            raise CannotRead(f"cannot be read: {error}", path=str(path)) from error

    @classmethod
    def within(cls, path: str | os.PathLike[str], content: memoryview) -> BoundedFile:
        """Returns bytes that stand inside another file, or were unpacked from one, as if they were a file.

        Args:
            path: What reports call it; the path of the file around it, and where it stands there.
            content: Its bytes; kept as long as the result is open.
        """
        part = cls.__new__(cls)
        part.path, part.size_bytes, part._map, part._view = Path(path), len(content), None, memoryview(content)
        return part

    def _content(self, descriptor: int) -> mmap.mmap | bytes:
        if self.size_bytes == 0:
            return b""
        try:
            self._map = _mapped(descriptor)
        except (OSError, ValueError) as error:
            if self.size_bytes > READ_WITHOUT_MAPPING_LIMIT_BYTES:
                raise OSError(getattr(error, "errno", None), f"cannot be mapped into memory ({error})") from error
            with open(descriptor, "rb", closefd=False) as stream:
                content = stream.read(self.size_bytes)
            self.size_bytes = len(content)
            return content
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

    def expect_reading(self) -> None:
        """Tells the system that all bytes are about to be read, so that a disk starts before the first is asked for."""
        if self._map is not None and hasattr(mmap, "MADV_WILLNEED"):
            with suppress(OSError, ValueError):
                self._map.madvise(mmap.MADV_WILLNEED)

    def forget(self) -> None:
        """Gives back the memory of pages that were read; whoever reads them again reads them from the file."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":
            with suppress(OSError, ValueError):
                self._map.madvise(mmap.MADV_DONTNEED)

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


def _open_regular(path: Path) -> int:
    """Opens without waiting for a writer, and refuses what is no regular file."""
    _refuse_special(os.stat(path).st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        _refuse_special(os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise OSError(None, f"it is {kind}, not a regular file")


def _mapped(descriptor: int) -> mmap.mmap:
    """Maps privately; without reserving memory, which would be refused for a file larger than memory and swap together."""
    if sys.platform == "linux":
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", _LINUX_NO_RESERVE)
        try:
            return mmap.mmap(descriptor, 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError:
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)


def size_on_disk(path: str | os.PathLike[str]) -> int:
    """Returns the bytes of a file, or of all files that stand directly in a folder; 0 for what cannot be looked at."""
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                return sum(entry.stat().st_size for entry in entries if entry.is_file())
        return os.stat(path).st_size
    except OSError:
        return 0
