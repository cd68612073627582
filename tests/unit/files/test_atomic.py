"""A path holds the old content or the new one; links, folders, modes and failures included."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from intact.errors import IntactError
from intact.files.atomic import drafted, write_atomically, writing

KEPT = "what stood at the path before stands there now"


def new(path: Path) -> None:
    """Writes the new content."""
    path.write_bytes(b"new")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file with the old content, alone in its folder."""
    (tmp_path / "x").write_bytes(b"old")
    return tmp_path / "x"


def alone(target: Path) -> bool:
    """Whether nothing stands beside a file."""
    return [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    """Writing through it would change a file of somebody else, and not atomically."""
    (tmp_path / "other").write_bytes(b"old")
    (tmp_path / "x").symlink_to("other")
    write_atomically(tmp_path / "x", new, overwrite=True)
    assert not (tmp_path / "x").is_symlink()
    assert ((tmp_path / "x").read_bytes(), (tmp_path / "other").read_bytes()) == (b"new", b"old")


def test_a_link_that_leads_nowhere_counts_as_something_that_stands_there(tmp_path: Path) -> None:
    """Without the permission to overwrite, it stays."""
    (tmp_path / "x").symlink_to("nowhere")
    with pytest.raises(IntactError, match="exists already"):
        write_atomically(tmp_path / "x", new, overwrite=False)
    write_atomically(tmp_path / "x", new, overwrite=True)
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """What is in it would be lost."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "precious").touch()
    with pytest.raises(IntactError, match="cannot be written") as caught:
        write_atomically(tmp_path / "x", new, overwrite=True)
    assert caught.value.path == str(tmp_path / "x")
    assert (tmp_path / "x" / "precious").exists()
    assert alone(tmp_path / "x")


def test_a_folder_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    """It is the folder that the user has to make."""
    with pytest.raises(IntactError, match="folder of the output does not exist") as caught:
        write_atomically(tmp_path / "no" / "x", new, overwrite=True)
    assert caught.value.path == str(tmp_path / "no")


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o027])
def test_the_mode_of_a_new_file_follows_the_umask(mask: int, target: Path) -> None:
    """A temporary file that is made for its owner alone would keep colleagues out, or let everybody in."""
    with umask(mask):
        write_atomically(target, new, overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError("no")])
def test_a_failure_while_writing_leaves_the_old_content_alone(error: BaseException, target: Path) -> None:
    """Half of a checkpoint is worth less than the one before."""

    def failing(path: Path) -> None:
        path.write_bytes(b"ne")
        raise error

    with pytest.raises(IntactError if isinstance(error, OSError) else type(error)) as caught:
        write_atomically(target, failing, overwrite=True)
    if isinstance(caught.value, IntactError):
        assert KEPT in caught.value.message
        assert "make room" in caught.value.help
    assert target.read_bytes() == b"old"
    assert alone(target)


def test_a_disk_that_does_not_confirm_the_new_name_is_told_as_what_it_is(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content is gone by then, and the error must not say that it stands there."""
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(IntactError) as caught:
        write_atomically(target, new, overwrite=True)
    assert KEPT not in caught.value.message
    assert "stands at the path" in caught.value.message
    assert target.read_bytes() == b"new"


def test_a_name_that_somebody_took_meanwhile_is_left_to_them(tmp_path: Path) -> None:
    """Between the first look and the end there may be hours."""

    def late(path: Path) -> None:
        path.write_bytes(b"new")
        (tmp_path / "x").write_bytes(b"theirs")

    with pytest.raises(IntactError):
        write_atomically(tmp_path / "x", late, overwrite=False)
    assert (tmp_path / "x").read_bytes() == b"theirs"
    assert alone(tmp_path / "x")


def test_a_file_system_without_links_takes_a_new_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and some network shares."""

    def unsupported(one: Path, other: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    write_atomically(tmp_path / "x", new, overwrite=False)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert alone(tmp_path / "x")


def test_a_draft_may_be_a_folder(tmp_path: Path) -> None:
    """Training state is a folder of files that belong together."""
    for text in ("one", "two"):
        with writing(tmp_path / "x"), drafted(tmp_path / "x") as draft:
            draft.mkdir()
            (draft / text).write_text(text)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["two"]
    assert alone(tmp_path / "x")


def test_without_waiting_for_the_disk_nothing_is_synced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who saves every minute has decided so."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("synced"))
    with writing(target), drafted(target, durable=False) as draft:
        draft.write_bytes(b"new")
    assert target.read_bytes() == b"new"
