"""The bytes of storages that are known by their place in a buffer: in the file, or in byte strings inside a pickle.

Files inside pickles may hold pickles with files again; how deep that goes is bounded, and one byte string is read once, however
often it is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from intact.containers.pickles import Buffer, StorageView, Unpickled
from intact.core.container import Storage
from intact.core.dtype import dtype_named
from intact.errors import Damaged, TooLarge

NESTING_LIMIT = 4
"""Files in files; real ones have one."""

ReadNested: TypeAlias = "Callable[[Buffer, Held, str], Unpickled]"


class Held:
    """Storages by name, as views of buffers.

    Args:
        path: The file, for errors.
        read_nested: Reads a file inside a pickle: (bytes, these storages, prefix for the names of its storages).
    """

    def __init__(self, path: str, read_nested: ReadNested) -> None:
        self.path = path
        self._read_nested = read_nested
        self._views: dict[str, memoryview] = {}
        self._read: dict[int, tuple[Buffer, Unpickled]] = {}
        self._count = 0
        self._depth = 0

    def hold(self, raw: Buffer, dtype: str) -> Storage:
        """Returns a storage over bytes that stand nowhere else."""
        self._count += 1
        name = f"values-{self._count}"
        self._views[name] = memoryview(raw)
        return Storage(name, dtype, len(raw))

    def hold_ranges(self, data: memoryview, ranges: Mapping[str, tuple[int, int]]) -> None:
        """Adds storages that stand in a buffer."""
        for name, (begin, end) in ranges.items():
            self._views[name] = data[begin:end]

    def hold_view(self, name: str, content: memoryview) -> None:
        """Adds a storage that stands somewhere else."""
        self._views[name] = content

    def nested(self, raw: Buffer) -> Unpickled:
        """Returns what a file inside a pickle holds.

        Raises:
            TooLarge: It lies in too many others.
        """
        if id(raw) in self._read:
            return self._read[id(raw)][1]
        if self._depth >= NESTING_LIMIT:
            raise TooLarge(
                f"more than {NESTING_LIMIT} files lie one in another inside this pickle",
                code="safety/archive-bomb",
                path=self.path,
                help="no program that saves models writes such a file; do not load it with anything else either",
            )
        self._count += 1
        self._depth += 1
        try:
            found = self._read_nested(raw, self, f"{self._count}/")
        finally:
            self._depth -= 1
        self._read[id(raw)] = (raw, found)
        return found

    def bytes_of(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage.

        Raises:
            Damaged: They are not there.
        """
        if isinstance(storage, StorageView):
            known = dtype_named(storage.dtype)
            begin = storage.first * (known.itemsize_bytes if known else 1)
            return self.bytes_of(storage.whole)[begin : begin + storage.size_bytes]
        view = self._views.get(storage.name)
        if view is None or len(view) < storage.size_bytes:
            raise Damaged(f"storage {storage.name!r} has no bytes in the file", code="file/truncated", path=self.path)
        return view[: storage.size_bytes]
