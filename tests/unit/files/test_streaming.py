"""Pieces of memory into a file: the bytes in their order, and the digests of exactly these bytes."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from pathlib import Path

import pytest

from intact.files import streaming
from intact.files.digests import digests_of
from intact.files.streaming import Piece, reserve, write_pieces

SIZES = [0, 1, 2, 64 << 10, (64 << 10) + 1, 1 << 20, (1 << 20) + 1, (2 << 20) - 1, 5 << 20, 0, (17 << 20) + 3, 7]


def patterned(size: int, seed: int) -> bytes:
    """Bytes that differ from place to place."""
    return (bytes((seed + 31 * number) % 251 for number in range(251)) * (size // 251 + 1))[:size]


def written(path: Path, pieces: list[Piece], begin: int = 100) -> bytes:
    """Writes pieces behind a gap, and returns their digests."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        return write_pieces(descriptor, begin, pieces)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("made", ["none", "all", "every third"])
def test_bytes_and_digests_are_those_of_the_pieces(
    made: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes at every border: empty, gathered, written alone, digested in several runs; in memory or made on request."""
    monkeypatch.setattr(streaming, "THREADS", threads)
    contents = [patterned(size, number) for number, size in enumerate(SIZES)]
    held = [ctypes.create_string_buffer(content, max(len(content), 1)) for content in contents]
    pieces = [
        Piece(len(content), 0, lambda content=content: memoryview(content))  # type: ignore[misc]
        if made == "all" or (made == "every third" and number % 3 == 0)
        else Piece(len(content), ctypes.addressof(buffer) if content else 0)
        for number, (content, buffer) in enumerate(zip(contents, held, strict=True))
    ]
    digests = written(tmp_path / "f", pieces)
    assert digests == b"".join(digests_of(memoryview(content)) for content in contents)
    assert (tmp_path / "f").read_bytes() == bytes(100) + b"".join(contents)


def test_thousands_of_small_pieces_are_written_in_order(tmp_path: Path) -> None:
    """They are gathered before they are written, and digested by the thousand."""
    contents = [patterned(number % 50, number) for number in range(5_000)]
    pieces = [Piece(len(content), 0, lambda content=content: memoryview(content)) for content in contents]  # type: ignore[misc]
    digests = written(tmp_path / "f", pieces)
    assert (tmp_path / "f").read_bytes()[100:] == b"".join(contents)
    assert digests == b"".join(digests_of(memoryview(content)) for content in contents)


def test_a_piece_that_cannot_be_made_ends_the_writing_and_its_threads(tmp_path: Path) -> None:
    """A device that is lost in the middle of a save must not leave threads behind that read freed memory."""
    buffer = ctypes.create_string_buffer(64 << 20)

    def lost() -> memoryview:
        raise RuntimeError("the device is gone")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="gone"):
        written(tmp_path / "f", [Piece(64 << 20, ctypes.addressof(buffer)), Piece(9, 0, lost)])
    assert threading.active_count() == before


def test_a_digest_that_cannot_be_computed_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with zeros in the place of its digests would be called damaged for ever."""

    def failing(content: object, *more: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(streaming, "digests_of", failing)
    buffer = ctypes.create_string_buffer(1 << 20)
    with pytest.raises(MemoryError):
        written(tmp_path / "f", [Piece(1 << 20, ctypes.addressof(buffer))])


def test_a_write_that_takes_less_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal or a full pipe of the system may cut any write short."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, bytes(content)[: max(1, len(content) // 3)]))
    content = patterned(3 << 20, 1)
    written(tmp_path / "f", [Piece(len(content), 0, lambda: memoryview(content))])
    assert (tmp_path / "f").read_bytes()[100:] == content


def test_room_is_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    """A disk that is too small is told at once, and not after an hour of writing."""
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(OSError) as caught:
            reserve(descriptor, 1 << 60)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
        reserve(descriptor, 0)
        reserve(descriptor, 10)
    finally:
        os.close(descriptor)
