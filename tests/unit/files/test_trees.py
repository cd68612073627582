"""Whole folders in the place of others, whatever the system can do."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

import pytest

from intact.files import trees
from intact.files.trees import put_in_place, removed, sync_tree


def folder(path: Path, **files: str) -> Path:
    """A folder with files."""
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def content(path: Path) -> dict[str, str]:
    """The files of a folder."""
    return {entry.name: entry.read_text() for entry in path.iterdir()}


@pytest.fixture(params=["exchange", "no exchange", "not on this file system"])
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems that exchange two names at once, and two that do not."""
    if request.param == "no exchange":
        monkeypatch.setattr(trees, "_renameat2", lambda: None)
    elif request.param == "not on this file system":
        monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EINVAL)
        monkeypatch.setattr(trees, "_renameat2", lambda: lambda *arguments: -1)


@pytest.mark.usefixtures("_system")
def test_a_folder_takes_the_place_of_another_as_a_whole(tmp_path: Path) -> None:
    """Files of the old one that the new one does not have are gone with it."""
    folder(tmp_path / "target", a="old", gone="old")
    put_in_place(folder(tmp_path / "draft", a="new"), tmp_path / "target", tmp_path / "aside")
    assert content(tmp_path / "target") == {"a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.usefixtures("_system")
def test_a_folder_is_put_where_none_is(tmp_path: Path) -> None:
    """The first save."""
    put_in_place(folder(tmp_path / "draft", a="new"), tmp_path / "target", tmp_path / "aside")
    assert content(tmp_path / "target") == {"a": "new"}


@pytest.mark.usefixtures("_system")
def test_an_old_folder_that_cannot_be_removed_does_not_undo_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one has its name then, and an error would say that it has not."""
    folder(tmp_path / "target", a="old")

    def refused(path: object) -> None:
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(shutil, "rmtree", refused)
    put_in_place(folder(tmp_path / "draft", a="new"), tmp_path / "target", tmp_path / "aside")
    assert content(tmp_path / "target") == {"a": "new"}


def test_where_the_second_step_fails_the_old_folder_gets_its_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an exchange there is an instant in which nothing has the name."""
    monkeypatch.setattr(trees, "_renameat2", lambda: None)
    folder(tmp_path / "target", a="old")
    folder(tmp_path / "draft", a="new")
    rename = os.rename

    def failing(one: Path, other: Path) -> None:
        if Path(one).name == "draft":
            raise OSError(errno.EIO, "no")
        rename(one, other)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="no"):
        put_in_place(tmp_path / "draft", tmp_path / "target", tmp_path / "aside")
    assert content(tmp_path / "target") == {"a": "old"}


def test_a_link_is_removed_and_never_what_it_leads_to(tmp_path: Path) -> None:
    """A folder of data that a run links to is not part of the run."""
    folder(tmp_path / "data", a="precious")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    removed(tmp_path / "link")
    assert content(tmp_path / "data") == {"a": "precious"}
    assert not (tmp_path / "link").is_symlink()
    removed(tmp_path / "nothing")


def test_every_file_and_folder_of_a_tree_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not may be empty after a power cut."""
    folder(tmp_path / "a", x="1")
    folder(tmp_path / "a" / "b", y="2")
    synced: list[Path] = []
    monkeypatch.setattr(trees, "sync", synced.append)
    sync_tree(tmp_path / "a")
    assert set(synced) == {tmp_path / "a", tmp_path / "a" / "x", tmp_path / "a" / "b", tmp_path / "a" / "b" / "y"}
    assert synced[-1] == tmp_path / "a"
