"""Many pieces of memory into one file, in order, each digested while the others are written.

Copying into the page cache occupies one core; digesting is five times faster and done by another meanwhile, so that a digest
costs next to nothing. Pieces that exist only when they are asked for (tensors of a GPU, transposed ones) are made one by one,
written, digested and dropped, so that a save needs no second copy of the model.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from intact.files.digests import DIGEST_BYTES, THREADS, chunk_count, digest, digests_of
from intact.files.progress import working

WRITE_BYTES = 2 << 20
"""Most bytes of one write: the page cache of the machine measured became erratic from 8 MiB on."""

SMALL_BYTES = 64 << 10
"""Pieces up to this size are gathered first: a call for each of 20,000 would take longer than the copying."""

JOB_BYTES = 16 << 20
"""Bytes that are digested before the next piece of work is fetched."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes that is to be written.

    Attributes:
        size_bytes: How many.
        address: Where they are in memory, contiguous, for as long as the writing lasts; 0 where they are made on request.
        made: Makes them, where they have no address.
    """

    size_bytes: int
    address: int = 0
    made: Callable[[], memoryview] | None = None

    def content(self) -> memoryview:
        """Returns the bytes, without a copy where they have an address."""
        if self.made is not None:
            return self.made()
        return memoryview((ctypes.c_ubyte * self.size_bytes).from_address(self.address)).cast("B")


def write_pieces(descriptor: int, begin: int, pieces: Sequence[Piece]) -> bytes:
    """Writes pieces one after the other and returns the digests of all their chunks, in order.

    Args:
        descriptor: The file, open for writing.
        begin: Where in the file the first piece begins, in bytes.
        pieces: What is written.

    Raises:
        OSError: The system refuses a write.
    """
    counts = [chunk_count(piece.size_bytes) for piece in pieces]
    digests = bytearray(DIGEST_BYTES * sum(counts))
    jobs = _Jobs(pieces, counts, digests)
    helpers = [threading.Thread(target=jobs.work, daemon=True) for _ in range(THREADS - 1 if jobs.heavy else 0)]
    for helper in helpers:
        helper.start()
    try:
        with working("writing", sum(piece.size_bytes for piece in pieces)) as advance:
            _write_all(descriptor, begin, pieces, jobs.take, advance)
        jobs.work()
    except BaseException:
        jobs.stop()
        raise
    finally:
        for helper in helpers:
            helper.join()
    jobs.raise_failure()
    return bytes(digests)


class _Jobs:
    """The digesting that is left to do, shared between threads."""

    def __init__(self, pieces: Sequence[Piece], counts: Sequence[int], digests: bytearray) -> None:
        self._digests = digests
        self._pieces = pieces
        self._places: list[int] = []
        place = 0
        for count in counts:
            self._places.append(place)
            place += count * DIGEST_BYTES
        self._lock = threading.Lock()
        self._jobs = self._all()
        self._failure: BaseException | None = None
        self.heavy = sum(piece.size_bytes for piece in pieces if piece.made is None) >= JOB_BYTES // 4

    def work(self) -> None:
        """Digests until nothing is left."""
        while True:
            with self._lock:
                job = next(self._jobs, None)
            if job is None:
                return
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised by the thread that asked
                self._failure = self._failure or error
                self.stop()
                return

    def take(self, number: int, content: memoryview | bytes) -> None:
        """Digests a piece that was made on request, while it is there."""
        made = digests_of(memoryview(content))
        self._digests[self._places[number] : self._places[number] + len(made)] = made

    def stop(self) -> None:
        """Leaves the rest undone."""
        with self._lock:
            self._jobs = iter(())

    def raise_failure(self) -> None:
        """Raises what a thread came upon."""
        if self._failure is not None:
            raise self._failure

    def _all(self) -> Iterator[Callable[[], None]]:
        small: list[int] = []
        for number, piece in enumerate(self._pieces):
            if piece.made is not None:
                continue
            if piece.size_bytes <= SMALL_BYTES:
                small.append(number)
                if len(small) == 1000:
                    yield lambda numbers=small: self._digest_small(numbers)  # type: ignore[misc]
                    small = []
                continue
            for begin in range(0, piece.size_bytes, JOB_BYTES):
                yield lambda number=number, begin=begin: self._digest_run(number, begin)  # type: ignore[misc]
        if small:
            yield lambda: self._digest_small(small)

    def _digest_small(self, numbers: Sequence[int]) -> None:
        pieces, places, digests = self._pieces, self._places, self._digests
        for number in numbers:
            piece, place = pieces[number], places[number]
            content = ctypes.string_at(piece.address, piece.size_bytes) if piece.size_bytes else b""
            digests[place : place + DIGEST_BYTES] = digest(content)

    def _digest_run(self, number: int, begin: int) -> None:
        piece = self._pieces[number]
        end = min(begin + JOB_BYTES, piece.size_bytes)
        made = digests_of(piece.content()[begin:end])
        place = self._places[number] + DIGEST_BYTES * (chunk_count(begin) if begin else 0)
        self._digests[place : place + len(made)] = made


def _write_all(
    descriptor: int,
    begin: int,
    pieces: Sequence[Piece],
    take: Callable[[int, memoryview | bytes], None],
    advance: Callable[[int], None],
) -> None:
    """Writes everything in order; small pieces are gathered, large ones go from where they are."""
    os.lseek(descriptor, begin, os.SEEK_SET)
    gathered: list[bytes] = []
    gathered_bytes = 0
    for number, piece in enumerate(pieces):
        if piece.size_bytes <= SMALL_BYTES:
            content = bytes(piece.content()) if piece.made is not None else ctypes.string_at(piece.address, piece.size_bytes)
            if piece.made is not None:
                take(number, content)
            gathered.append(content)
            gathered_bytes += len(content)
            if gathered_bytes < WRITE_BYTES:
                continue
        if gathered:
            _write(descriptor, memoryview(b"".join(gathered)), advance)
            gathered, gathered_bytes = [], 0
        if piece.size_bytes > SMALL_BYTES:
            whole = piece.content()
            _write(descriptor, whole, advance)
            if piece.made is not None:
                take(number, whole)
    if gathered:
        _write(descriptor, memoryview(b"".join(gathered)), advance)


def _write(descriptor: int, content: memoryview, advance: Callable[[int], None]) -> None:
    done = 0
    while done < len(content):
        written = os.write(descriptor, content[done : done + WRITE_BYTES])
        done += written
        advance(written)


def reserve(descriptor: int, size_bytes: int) -> None:
    """Gives a new file its room on the disk, so that a full disk is told before anything is written.

    Raises:
        OSError: The disk has not that much room (`ENOSPC`).
    """
    function = _fallocate()
    if function is None or size_bytes == 0:
        return
    if function(descriptor, 0, 0, size_bytes) != 0 and (number := ctypes.get_errno()) in _NO_ROOM:
        raise OSError(number, os.strerror(number))


@lru_cache(maxsize=1)
def _fallocate() -> Any:
    """The system's own call: the one of the C library writes zeros where a file system cannot reserve."""
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function
