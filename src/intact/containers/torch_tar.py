"""torch's first format, before 0.1.11: a tar archive with four members.

`storages` holds storages one after another, each behind a small pickle that names it; `tensors` the views of them; `pickle` the
objects, which refer to tensors by number; `sys_info` facts about the writing machine. Nothing is unpacked to the disk.

Source:
    torch 2.13 `serialization.py` (`legacy_load` in `_legacy_load`); files of early 2017. Tar headers: POSIX.1-1988 ustar.
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct, error
from typing import Any

from intact.containers.memory import Held
from intact.containers.pickled import PickledContainer
from intact.containers.pickles import GlobalName, dangers_of, load, merged, names_in, part_of
from intact.containers.pickles.tensors import view
from intact.containers.torch_legacy import nested_legacy, text_of
from intact.core.container import Storage, TensorRecord
from intact.core.description import Source, Writer
from intact.core.dtype import dtype_named
from intact.core.remark import Remark
from intact.errors import Damaged, IntactError
from intact.files.reading import BoundedFile

_BLOCK = 512
_MEMBERS = ("sys_info", "pickle", "storages", "tensors")
_COUNT = Struct("<q")
_DIMENSIONS = Struct("<i4x")
_DIMENSIONS_LIMIT = 256
_MEMBERS_LIMIT = 64
_REGULAR = (b"0", b"\0")
_HEADERS_LIMIT = 4
"""Headers of extensions that may stand before the first member."""
_NEAR_BYTES = 1 << 16


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is a tar archive whose first member is one of the four."""
    at = 0
    for _ in range(_HEADERS_LIMIT):
        header = file.head(at + _BLOCK)[at:] if at < _NEAR_BYTES else b""
        if len(header) < _BLOCK or not _checksum_fits(header):
            return False
        if header[156:157] in _REGULAR:
            return _name(header) in _MEMBERS
        at = _next_header(header, at)
    return False


def open_file(file: BoundedFile) -> PickledContainer:
    """Returns the opened archive.

    Raises:
        Damaged: It ends early, or contradicts itself.
        TooLarge: It would take more memory than its size can justify.
    """
    path = str(file.path)
    memory = Held(path, nested_legacy)
    members = _members(file)
    reader = _Reader(path, members, memory)
    beside = [name for member, data in members.items() if member != "pickle" for name in names_in(data, f"the member {member!r}")]
    try:
        reader.read_storages()
        reader.read_tensors()
        unpickled = load(reader.member("pickle"), persistent_load=reader.load, memory=memory, path=path)
    except IntactError as error:
        error.evidence.update(dangers_of(beside))
        raise
    problems = (*reader.problems, *unpickled.problems)
    unpickled = replace(unpickled, problems=problems, foreign=merged(unpickled.foreign, beside))
    source = Source(path, "torch-tar", file.size_bytes, (file.path.name,), Writer("torch", "0.1", "a tar archive"))
    return PickledContainer(file, source, unpickled, memory.bytes_of, remarks=(_FORMER_FORMAT,))


_FORMER_FORMAT = Remark(
    "version/legacy-format",
    "it is a tar archive, as torch wrote them until 0.1.10; torch.load refuses it by default",
    "error",
    evidence={"writer": "<0.1.11", "format": "tar"},
    cause="the format was given up in 2017, and `weights_only=True` does not read it",
    help="intact reads it as it is; `torch.load(…, weights_only=False)` does too, and runs what the file names",
    opened=True,
)


def _checksum_fits(header: bytes) -> bool:
    """Whether a block is a tar header, and its size can be read."""
    try:
        written = int(header[148:156].strip(b"\0 "), 8)
        return written == sum(header[:148]) + 8 * 32 + sum(header[156:]) and _size(header) >= 0
    except ValueError:
        return False


def _size(header: bytes) -> int:
    return int(header[124:136].strip(b"\0 ") or b"0", 8)


def _next_header(header: bytes, at: int) -> int:
    return at + _BLOCK + (_size(header) + _BLOCK - 1) // _BLOCK * _BLOCK


def _name(header: bytes) -> str:
    return header[:100].split(b"\0")[0].decode("latin-1").removeprefix("./")


def _members(file: BoundedFile) -> dict[str, memoryview]:
    """Returns the members by name, the first of each."""
    found: dict[str, memoryview] = {}
    at = 0
    for _ in range(_MEMBERS_LIMIT):
        if at + _BLOCK > file.size_bytes:
            break
        header = bytes(file.view(at, at + _BLOCK))
        if not any(header):
            break
        if not _checksum_fits(header):
            raise _damaged(str(file.path), f"the tar header at byte {at:,} is damaged")
        content = file.view(at + _BLOCK, at + _BLOCK + _size(header), what=f"the member {_name(header)!r}")
        if header[156:157] in _REGULAR:
            found.setdefault(_name(header), content)
        at = _next_header(header, at)
    return found


def _damaged(path: str, why: str) -> Damaged:
    return Damaged(
        why, code="file/bad-header", path=path, help="the file was changed after it was written; fetch or copy it again"
    )


class _Reader:
    """The storages and tensors of one archive, by the numbers that the objects use for them."""

    def __init__(self, path: str, members: dict[str, memoryview], memory: Held) -> None:
        self._path = path
        self._members = members
        self._memory = memory
        self._storages: dict[str, Storage] = {}
        self._tensors: dict[str, TensorRecord] = {}
        self.problems: list[tuple[TensorRecord, str]] = []

    def member(self, name: str) -> memoryview:
        """Returns a member.

        Raises:
            Damaged: There is none (`file/truncated`).
        """
        if name not in self._members:
            raise Damaged(
                f"the archive has no member {name!r}, only {', '.join(self._members) or 'none at all'}",
                code="file/truncated",
                path=self._path,
                help="the copy or the save was interrupted; fetch or copy the file again",
            )
        return self._members[name]

    def load(self, identity: Any) -> Any:
        """Returns the tensor or storage of a number, or the class that stands in front of its source text."""
        if isinstance(identity, tuple) and identity:
            return identity[0]
        key = text_of(identity)
        found = self._tensors.get(key) or self._storages.get(key)
        if found is None:
            raise TypeError("a number that no tensor has")
        return found

    def read_storages(self) -> None:
        """Reads the names and places of all storages.

        Raises:
            Damaged: They end early, or contradict each other.
        """
        data = self.member("storages")
        count, at = self._next(data, 0)
        ranges: dict[str, tuple[int, int]] = {}
        for _ in range(self._bounded(count, data)):
            what, at = self._next(data, at)
            if not isinstance(what, tuple) or len(what) != 3 or not isinstance(what[2], GlobalName) or not what[2].dtype:
                raise _damaged(self._path, "a storage has no name, place or type")
            key, dtype = text_of(what[0]), what[2].dtype
            known = dtype_named(dtype)
            (elements,) = self._fields(_COUNT, data, at)
            begin = at + _COUNT.size
            at = begin + elements * (known.itemsize_bytes if known else 1)
            if elements < 0 or at > len(data):
                raise self._short(f"storage {key!r}")
            ranges[key] = (begin, at)
            self._storages[key] = Storage(key, dtype, at - begin, device=text_of(what[1]))
        self._memory.hold_ranges(data, ranges)
        if at < len(data):
            self._read_parts(data, at)

    def _read_parts(self, data: memoryview, at: int) -> None:
        parts, _ = self._next(data, at)
        for part in parts if isinstance(parts, (list, tuple)) else ():
            if not isinstance(part, tuple) or len(part) != 4:
                raise _damaged(self._path, "a part of a storage has no place")
            whole = self._storages.get(text_of(part[1]))
            offset, elements = part[2], part[3]
            if not isinstance(whole, Storage) or type(offset) is not int or type(elements) is not int:
                raise _damaged(self._path, "a part of a storage has no place")
            view = part_of(whole, offset, elements)
            if view is None:
                raise Damaged(f"a part of storage {whole.name!r} reaches outside it", code="file/storage-bounds", path=self._path)
            self._storages[text_of(part[0])] = view

    def read_tensors(self) -> None:
        """Reads the views that tensors are.

        Raises:
            Damaged: They end early, or contradict each other.
        """
        if "tensors" not in self._members:
            return
        data = self._members["tensors"]
        count, at = self._next(data, 0)
        for _ in range(self._bounded(count, data)):
            what, at = self._next(data, at)
            storage = self._storages.get(text_of(what[1])) if isinstance(what, tuple) and len(what) == 3 else None
            if storage is None:
                raise _damaged(self._path, "a tensor has no storage")
            (dimensions,) = self._fields(_DIMENSIONS, data, at)
            if not 0 <= dimensions <= _DIMENSIONS_LIMIT:
                raise _damaged(self._path, f"a tensor has {dimensions} dimensions")
            numbers = Struct(f"<{2 * dimensions + 1}q")
            *sizes, offset = self._fields(numbers, data, at + _DIMENSIONS.size)
            at += _DIMENSIONS.size + numbers.size
            record, why = view(storage, offset, tuple(sizes[:dimensions]), tuple(sizes[dimensions:]))
            self._tensors[text_of(what[0])] = record
            if why:
                self.problems.append((record, why))

    def _next(self, data: memoryview, at: int) -> tuple[Any, int]:
        found = load(data, begin=at, path=self._path)
        return found.value, found.end

    def _fields(self, fields: Struct, data: memoryview, at: int) -> tuple[int, ...]:
        try:
            return fields.unpack_from(data, at)
        except error:
            raise self._short("a number") from None

    def _bounded(self, count: Any, data: memoryview) -> int:
        if type(count) is not int or not 0 <= count <= len(data):
            raise _damaged(self._path, "the number of storages or tensors is impossible")
        return count

    def _short(self, what: str) -> Damaged:
        return Damaged(
            f"{what} ends beyond its member of the archive",
            code="file/truncated",
            path=self._path,
            help="the copy or the save was interrupted; fetch or copy the file again",
        )
