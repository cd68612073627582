"""A folder that is the unpacked content of a torch archive, read as the archive would be."""

from __future__ import annotations

import os
from pathlib import Path

from intact.containers.zips import Entry, Zip
from intact.core.remark import Remark
from intact.errors import CannotRead, Damaged
from intact.files.reading import BoundedFile

RECORDS_LIMIT = 1_000_000
NAME = "data.pkl"

REMARK = Remark(
    "file/unpacked-archive",
    "it is the unpacked content of a torch archive, whose files `torch.load` reads only as one zip",
    "error",
    cause="a browser, a file manager or a helper unpacked the checkpoint, which is a zip archive",
    help="intact reads the folder as it is; for torch write it anew as one file",
    opened=True,
)


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is the pickle of an unpacked archive: named so, with its storages beside it."""
    folder = file.path.parent
    return file.path.name == NAME and file.head(1) == b"\x80" and ((folder / "data").is_dir() or (folder / "version").is_file())


def open_file(file: BoundedFile):  # type: ignore[no-untyped-def]
    """Returns the opened folder.

    Raises:
        Damaged: A record is missing, or contradicts another.
    """
    from intact.containers.torch_zip import open_archive

    return open_archive(file, Unpacked(file), REMARK)


class Unpacked(Zip):
    """The records of an archive as files of a folder; they keep no checksums.

    Args:
        file: `data.pkl` in it.
    """

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._folder = file.path.parent
        self._opened: dict[str, BoundedFile] = {}
        self.repeated: list[Entry] = []
        self.entries = {entry.name.lower(): entry for entry in self._listed()}

    def data_begin(self, entry: Entry) -> int:  # noqa: ARG002 - the shape of an archive
        """Returns -1: a record is a file of its own."""
        return -1

    def content(self, entry: Entry, limit_bytes: int | None = None) -> memoryview:
        """Returns the bytes of a record.

        Raises:
            CannotRead: It cannot be read.
            TooLarge: It is larger than the limit.
        """
        if limit_bytes is not None and entry.size_bytes > limit_bytes:
            raise self._too_large(f"the file {entry.name!r} has {entry.size_bytes:,} bytes, and {limit_bytes:,} are read at most")
        found = self._opened.get(entry.name)
        if found is None:
            place = self._folder / entry.name.partition("/")[2]
            if not place.resolve().is_relative_to(self._folder.resolve()):
                raise CannotRead(f"`{entry.name}` leads out of the folder", code="safety/path-traversal", path=str(self._folder))
            found = self._opened[entry.name] = BoundedFile(place)
        if found.size_bytes != entry.size_bytes:
            raise Damaged(f"`{entry.name}` changed while it was read", code="file/concurrent-writes", path=str(self._folder))
        return found.view(0, found.size_bytes)

    def _listed(self) -> list[Entry]:
        root = self._folder.name + "/"
        found: list[Entry] = []
        for folder, folders, files in os.walk(self._folder):
            folders.sort()
            inner = Path(folder).relative_to(self._folder).as_posix()
            for name in sorted(files):
                path = root + (name if inner == "." else f"{inner}/{name}")
                size = (Path(folder) / name).stat().st_size if (Path(folder) / name).is_file() else 0
                found.append(Entry(path, 0, 0, 0, size, size, len(found)))
            if len(found) > RECORDS_LIMIT:
                break
        return sorted(found, key=lambda entry: entry.name != root + NAME)
