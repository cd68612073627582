"""Bounded reading: no byte outside of the file, no write to it, no waiting for what is no file."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intact.errors import CannotRead, Damaged
from intact.files import reading
from intact.files.reading import BoundedFile

CONTENT = bytes(range(256))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small file with known content."""
    file = tmp_path / "content.bin"
    file.write_bytes(CONTENT)
    return file


def test_a_view_holds_the_bytes_of_its_range(path: Path) -> None:
    """The plain case everything else rests on."""
    with BoundedFile(path) as file:
        assert bytes(file.view(10, 20)) == CONTENT[10:20]
        assert file.head(3) == CONTENT[:3]
        assert file.tail(3) == CONTENT[-3:]


@given(begin=st.integers(-(2**70), 2**70), end=st.integers(-(2**70), 2**70))
def test_any_range_is_either_within_the_file_or_a_typed_error(
    begin: int, end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Offsets come from files and may be anything; a slice must never silently be shorter than asked."""
    path = tmp_path_factory.getbasetemp() / "ranges.bin"
    path.write_bytes(CONTENT)
    with BoundedFile(path) as file:
        if 0 <= begin <= end <= len(CONTENT):
            assert bytes(file.view(begin, end)) == CONTENT[begin:end]
        else:
            with pytest.raises(Damaged) as caught:
                file.view(begin, end)
            assert caught.value.code in ("file/truncated", "file/bad-header")


def test_a_range_beyond_the_end_says_how_many_bytes_are_missing(path: Path) -> None:
    """The figure tells a user whether a download was cut or a header is wrong."""
    with BoundedFile(path) as file, pytest.raises(Damaged, match="44 are missing") as caught:
        file.view(0, 300, what="the weights")
    assert caught.value.evidence == {"needed_bytes": 300, "size_bytes": 256}


def test_writing_into_a_view_never_reaches_the_disk(path: Path) -> None:
    """Views are writable for torch; the user's file must stay as it is."""
    with BoundedFile(path) as file:
        view = file.view(0, 4)
        view[:] = b"\xff" * 4
        assert bytes(file.view(0, 4)) == b"\xff" * 4
    assert path.read_bytes() == CONTENT


def test_an_empty_file_can_be_opened_and_has_no_bytes(tmp_path: Path) -> None:
    """Mapping an empty file is an error of the system, and an empty checkpoint deserves a better one."""
    (tmp_path / "empty").touch()
    with BoundedFile(tmp_path / "empty") as file:
        assert (file.size_bytes, file.head(10), file.tail(10)) == (0, b"", b"")


def test_a_view_outlives_the_file(path: Path) -> None:
    """Values handed out stay valid after the container is closed."""
    file = BoundedFile(path)
    view = file.view(5, 8)
    file.close()
    assert bytes(view) == CONTENT[5:8]


@pytest.mark.parametrize("kind", ["missing", "folder", "name with NUL"])
def test_what_cannot_be_opened_is_a_typed_error(kind: str, tmp_path: Path) -> None:
    """Nobody should have to catch OSError and ValueError beside the errors of this package."""
    path = {"missing": tmp_path / "no", "folder": tmp_path, "name with NUL": Path("a\0b")}[kind]
    with pytest.raises(CannotRead, match="cannot be read"):
        BoundedFile(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening a pipe waits for a writer that never comes."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotRead, match="pipe, socket or device"):
        BoundedFile(tmp_path / "pipe")


def test_a_file_that_cannot_be_mapped_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have no mmap."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with BoundedFile(path) as file:
        assert bytes(file.view(0, 256)) == CONTENT
    monkeypatch.setattr(reading, "READ_WITHOUT_MAPPING_LIMIT_BYTES", 100)
    with pytest.raises(CannotRead, match="cannot be mapped"):
        BoundedFile(path)


def test_a_file_larger_than_memory_can_be_opened(tmp_path: Path) -> None:
    """A private writable mapping that reserves memory is refused for a file larger than memory and swap."""
    path = tmp_path / "large"
    with path.open("wb") as stream:
        try:
            stream.truncate(1 << 43)
        except OSError:
            pytest.skip("the file system holds no sparse file of 8 TiB")
    with BoundedFile(path) as file:
        assert bytes(file.view((1 << 43) - 4, 1 << 43)) == bytes(4)
