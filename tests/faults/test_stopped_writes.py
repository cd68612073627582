"""A file or folder that is written in the place of another one is whole at every system call, whoever stops its writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import stopping
from tests.faults.saves import (
    Scenario,
    Trial,
    survives_a_full_disk,
    survives_errors,
    survives_interrupts,
    survives_kills,
)

from intact.files.atomic import drafted, write_atomically, writing

pytestmark = pytest.mark.skipif(bool(stopping.why_not()), reason=stopping.why_not() or "processes can be watched")

OLD, NEW = {"a": b"old", "gone": b"old"}, {"a": b"newest", "more": b"newest"}


def newest(path: Path) -> None:
    """Writes the new content."""
    path.write_bytes(b"newest")


def file_over_file() -> Scenario:
    """One file in the place of another."""

    def save(folder: Path) -> None:
        write_atomically(folder / "x", newest, overwrite=True)

    def holds(folder: Path) -> str:
        return {b"old": "old", b"newest": "new"}[(folder / "x").read_bytes()]

    def prepare(folder: Path) -> None:
        (folder / "x").write_bytes(b"old")

    return Scenario(prepare, save, holds, lambda folder: {path.name for path in folder.iterdir()} - {"x"})


def file_where_none_is() -> Scenario:
    """One file at a path that must be free."""

    def save(folder: Path) -> None:
        write_atomically(folder / "x", newest, overwrite=(folder / "x").exists())  # it is there after a kill near the end

    def holds(folder: Path) -> str:
        return {b"": "old", b"newest": "new"}[(folder / "x").read_bytes() if (folder / "x").exists() else b""]

    return Scenario(lambda folder: None, save, holds, lambda folder: {path.name for path in folder.iterdir()} - {"x"})


def folder_over_folder() -> Scenario:
    """A folder with other files in the place of another folder."""

    def write(folder: Path, files: dict[str, bytes]) -> None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)

    def save(folder: Path) -> None:
        with writing(folder / "x"), drafted(folder / "x") as draft:
            write(draft, NEW)

    def holds(folder: Path) -> str:
        found = {path.name: path.read_bytes() for path in (folder / "x").iterdir()}
        return "old" if found == OLD else {True: "new"}[found == NEW]

    return Scenario(
        lambda folder: write(folder / "x", OLD), save, holds, lambda folder: {path.name for path in folder.iterdir()} - {"x"}
    )


SCENARIOS = [file_over_file, file_where_none_is, folder_over_folder]
CHECKS = [survives_kills, survives_errors, survives_a_full_disk, survives_interrupts]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_write_is_whole_at_every_call(scenario: Callable[[], Scenario], check: Callable[[Trial], None], tmp_path: Path) -> None:
    """A kill, an error, a full disk or Ctrl-C at any call leaves the old content or the new one, said truly, without litter."""
    check(Trial(scenario(), tmp_path))
