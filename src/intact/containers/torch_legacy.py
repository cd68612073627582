"""torch's format from 0.1.11 to 1.5, still written on request: five pickles in a row, then the storages.

The pickles are a magic number, a protocol version, facts about the writing machine, the objects, and the keys of the storages;
each storage follows as a count of elements and its raw little-endian bytes. Before 0.4 a storage could be a part of another one.
`pickle.dump` of a tensor puts one such file around every storage, so the reader works on any bytes, not only on files.

Source:
    torch 2.13 `serialization.py` (`_legacy_save`, `_legacy_load`); files of 0.1 to 1.13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from struct import Struct
from types import MappingProxyType
from typing import Any

from intact.containers.array_tensors import with_tensors
from intact.containers.memory import Held
from intact.containers.pickled import PickledContainer
from intact.containers.pickles import Buffer, GlobalName, Memory, StorageView, Unpickled, load, merged, names_in, part_of
from intact.core.container import Foreign, Storage
from intact.core.description import ForeignName, Source, Writer
from intact.core.dtype import dtype_named
from intact.core.lost import Lost
from intact.core.remark import Remark
from intact.errors import Damaged, NotACheckpoint
from intact.files.reading import BoundedFile

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_MAGIC = re.compile(
    rb"(?s)(?:\x80.(?:\x95.{8})?\x8a\x0a" + re.escape(MAGIC_NUMBER.to_bytes(10, "little")) + rb"|L%dL)" % MAGIC_NUMBER
)
PROTOCOL_VERSION = 1001
_COUNT = Struct("<q")


@dataclass(frozen=True, slots=True)
class Legacy:
    """What one file of this format holds.

    Attributes:
        unpickled: The objects; `end` is the end of the last storage.
        ranges: Byte range of each storage in the data, by the name of the storage.
        system: Facts about the machine that wrote it.
    """

    unpickled: Unpickled
    ranges: dict[str, tuple[int, int]]
    system: dict[Any, Any]


def is_legacy(head: bytes) -> bool:
    """Tells whether bytes begin as this format does, in any protocol of pickle."""
    return _MAGIC.match(head) is not None


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is of this format, whole or damaged."""
    return is_legacy(file.head(64))


def open_file(file: BoundedFile) -> PickledContainer:
    """Returns the opened file.

    Raises:
        Damaged: It ends early, or contradicts itself.
        TooLarge: It would take more memory than its size can justify.
    """
    return _opened(file, None)


def open_rest(file: BoundedFile, lost: Lost) -> PickledContainer:
    """Returns what is left of a damaged file.

    Args:
        file: The file.
        lost: Takes what is not there any more.

    Raises:
        CannotRead: Not even the names of the tensors are left.
    """
    return _opened(file, lost)


def _opened(file: BoundedFile, lost: Lost | None) -> PickledContainer:
    data = file.view(0, file.size_bytes)
    path = str(file.path)
    memory = Held(path, nested_legacy)
    content = read(data, path, memory, lost=lost)
    memory.hold_ranges(data, content.ranges)
    source = Source(path, "torch-legacy", file.size_bytes, (file.path.name,), _writer(content.unpickled))
    remarks = (_FORMER_TENSORS,) if source.writer.version == "0.1 to 0.3" else ()
    as_described = partial(with_tensors, memory=memory)
    return PickledContainer(
        file, source, content.unpickled, memory.bytes_of, remarks=remarks, as_described=as_described, lost=lost
    )


_FORMER_TENSORS = Remark(
    "version/legacy-format",
    "it was written by torch 0.1 to 0.3, in a format and with names that torch has changed since",
    "info",
    evidence={"writer": "0.1 to 0.3"},
    cause="tensors are rebuilt by a function of before 0.4; there were no batch counters, and Python 2 may have written it",
    help="save it again once it is loaded",
)


def _writer(unpickled: Unpickled) -> Writer:
    """Nobody but torch writes its magic number, whatever the pickle behind it holds."""
    told = writer_of(unpickled)
    return told if told.program else Writer("torch", "", "the magic number of torch.save")


def writer_of(unpickled: Unpickled) -> Writer:
    """Returns the releases of torch that a pickle can come from, by the functions that rebuild its tensors."""
    known = unpickled.known
    if "torch._utils._rebuild_tensor_v3" in known:
        return Writer("torch", ">=2.1", "tensors rebuilt by _rebuild_tensor_v3")
    if "torch._utils._rebuild_tensor_v2" in known:
        return Writer("torch", ">=0.4", "tensors rebuilt by _rebuild_tensor_v2")
    if "torch._utils._rebuild_tensor" in known:
        return Writer("torch", "0.1 to 0.3", "tensors rebuilt by _rebuild_tensor")
    if any(name.endswith("Tensor") and name != "torch.Tensor" for name in known):
        return Writer("torch", "0.1 to 0.3", "tensors without a rebuilding function")
    return Writer()


def nested_legacy(raw: Buffer, memory: Held, prefix: str) -> Unpickled:
    """Returns what a file of this format inside a pickle holds; its storages are kept in memory under names of their own."""
    if not is_legacy(bytes(raw[:64])):
        return Unpickled(Foreign("torch.storage._load_from_bytes", (raw,)))
    content = read(raw, memory.path, memory, prefix)
    memory.hold_ranges(memoryview(raw), content.ranges)
    return content.unpickled


def read(data: Buffer, path: str, memory: Memory, prefix: str = "", lost: Lost | None = None) -> Legacy:
    """Returns what bytes of this format hold.

    Args:
        data: The bytes; nothing in them is copied that belongs to a tensor.
        path: The file, for errors.
        memory: Holds the values that stand in the pickle itself.
        prefix: Put before the keys of storages, to make them unique.
        lost: Takes the storages that are not there any more; an error tells of them without it.

    Raises:
        Damaged: They end early, or contradict each other.
    """
    at = 0
    header: list[Any] = []
    beside: list[ForeignName] = []
    for what in ("magic number", "protocol version", "facts about the system"):
        part = load(data, begin=at, path=path)
        header.append(part.value)
        beside += [replace(name, place=f"the pickle of the {what}", position=name.position + at) for name in part.foreign]
        at = part.end
    if header[0] != MAGIC_NUMBER:
        raise _damaged(path, "the magic number of torch's legacy format is another one")
    if header[1] != PROTOCOL_VERSION:
        raise NotACheckpoint(
            f"its format calls itself version {header[1]!r:.40}, and torch only ever wrote {PROTOCOL_VERSION}",
            code="file/foreign-format",
            path=path,
            help="open it with the program that wrote it",
        )
    storages = _Storages(path, prefix, lost)
    main = load(data, begin=at, persistent_load=storages.load, memory=memory, path=path)
    try:
        keys = load(data, begin=main.end, path=path)
    except Damaged as error:
        if lost is None:
            raise
        storages.lose_all(f"the list of storages is not whole: {error.message}")
        return Legacy(replace(main, foreign=merged(main.foreign, beside)), {}, {})
    ranges, end = storages.ranges(data, keys.value, keys.end)
    system = header[2] if isinstance(header[2], dict) else {}
    beside += [replace(n, place="the list of storages", position=n.position + main.end) for n in keys.foreign]
    if len(data) > end:
        beside += names_in(data, "what stands behind the checkpoint", end)
    return Legacy(replace(main, end=end, foreign=merged(main.foreign, beside)), ranges, system)


def text_of(value: Any) -> str:
    """Returns a text that Python 2 may have written as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value) if isinstance(value, (str, int)) else ""


def _damaged(path: str, why: str) -> Damaged:
    return Damaged(
        why, code="file/bad-header", path=path, help="the file was changed after it was written; fetch or copy it again"
    )


class _Storages:
    """The storages that the objects refer to, by persistent id."""

    def __init__(self, path: str, prefix: str, lost: Lost | None = None) -> None:
        self._path = path
        self._lost = lost
        self._prefix = prefix
        self._by_key: dict[str, Storage] = {}

    def load(self, identity: Any) -> Any:
        """Returns the storage, the part of one, or the class that a persistent id stands for."""
        if not isinstance(identity, tuple) or len(identity) < 2:
            raise TypeError("a persistent id of no known form")
        kind = text_of(identity[0])
        if kind == "module":
            return identity[1]
        if kind != "storage" or len(identity) not in (5, 6) or not isinstance(identity[1], GlobalName) or not identity[1].dtype:
            raise TypeError("a persistent id of no known form")
        whole = self._whole(identity[1].dtype, text_of(identity[2]), text_of(identity[3]), identity[4])
        part = identity[5] if len(identity) == 6 else None
        return whole if part is None else self._part(whole, part)

    def _whole(self, dtype: str, key: str, device: str, elements: Any) -> Storage:
        if type(elements) is not int or not 0 <= elements < 1 << 60:
            raise TypeError("a storage of an impossible size")
        if key not in self._by_key:
            known = dtype_named(dtype)
            width = known.itemsize_bytes if known else 1
            self._by_key[key] = Storage(self._prefix + key, dtype, elements * width, device=device)
        return self._by_key[key]

    def _part(self, whole: Storage, part: Any) -> StorageView:
        if not isinstance(part, tuple) or len(part) != 3 or type(part[1]) is not int or type(part[2]) is not int:
            raise TypeError("a part of a storage of no known form")
        view = part_of(whole, part[1], part[2])
        if view is None:
            raise Damaged(
                f"part {text_of(part[0])!r} of storage {whole.name!r} reaches outside: {part[2]} elements from number {part[1]}",
                code="file/storage-bounds",
                path=self._path,
            )
        return view

    def ranges(self, data: Buffer, keys: Any, at: int) -> tuple[dict[str, tuple[int, int]], int]:
        """Returns where each storage stands, and the position after the last one."""
        if self._lost is None:
            return self._ranges(data, keys, at, {})
        try:
            return self._whole_ranges(data, self._ordered(keys), at), len(data)
        except Damaged as error:
            self.lose_all(error.message)
            return {}, len(data)

    def _whole_ranges(self, data: Buffer, storages: list[Storage], at: int) -> dict[str, tuple[int, int]]:
        """Returns where the storages stand that are whole; a count in its place behind a storage confirms where it ends."""
        places: list[tuple[Storage, int, Damaged | None]] = []
        for storage in storages:
            problem = None
            try:
                self._range(data, storage, at)
            except Damaged as error:
                problem = error
            places.append((storage, at + _COUNT.size, problem))
            at += _COUNT.size + storage.size_bytes
        found: dict[str, tuple[int, int]] = {}
        confirmed = at == len(data) or not places or places[-1][1] + places[-1][0].size_bytes > len(data) - _COUNT.size
        for storage, begin, problem in reversed(places):
            if problem is None and confirmed:
                found[storage.name] = (begin, begin + storage.size_bytes)
            else:
                self._lose(
                    storage, problem.message if problem else "what stands behind it is damaged, so nothing confirms its end"
                )
            confirmed = problem is None or problem.code == "file/truncated"
        return found

    def _lose(self, storage: Storage, why: str) -> None:
        assert self._lost is not None
        self._lost.storages[storage.name] = why

    def lose_all(self, why: str, found: Mapping[str, object] = MappingProxyType({})) -> None:
        """Notes every storage as lost that is not among those found."""
        if self._lost is not None:
            self._lost.storages.update((s.name, why) for s in self._by_key.values() if s.name not in found)

    def _ranges(
        self, data: Buffer, keys: Any, at: int, found: dict[str, tuple[int, int]]
    ) -> tuple[dict[str, tuple[int, int]], int]:
        for storage in self._ordered(keys):
            begin, at = self._range(data, storage, at)
            found[storage.name] = (begin, at)
        return found, at

    def _ordered(self, keys: Any) -> list[Storage]:
        """Returns the storages in the order in which they stand."""
        if not isinstance(keys, (list, tuple)):
            raise _damaged(self._path, "the list of storages is no list")
        ordered: dict[str, Storage] = {}
        for key in map(text_of, keys):
            storage = self._by_key.get(key)
            if storage is None or storage.name in ordered:
                raise _damaged(self._path, f"the list of storages names {key!r:.80}, which no tensor has, or has it twice")
            ordered[storage.name] = storage
        missing = [key for key, storage in self._by_key.items() if storage.name not in ordered]
        if missing:
            raise _damaged(self._path, f"storage {missing[0]!r:.80} is not in the list of storages ({len(missing)} are not)")
        return list(ordered.values())

    def _range(self, data: Buffer, storage: Storage, at: int) -> tuple[int, int]:
        begin = at + _COUNT.size
        end = begin + storage.size_bytes
        if begin <= len(data):
            self._refuse_other_count(data, storage, at)
        if end > len(data):
            raise Damaged(
                f"storage {storage.name!r} needs bytes up to {end:,}, and the file ends at {len(data):,}: "
                f"{end - len(data):,} are missing",
                code="file/truncated",
                path=self._path,
                evidence={"needed_bytes": end, "size_bytes": len(data), "storage": storage.name},
                help="the copy or the save was interrupted; fetch or copy the file again, or take the checkpoint before it",
            )
        if not self._prefix:
            # Tensors refer to the storage already, whose place is known only now.
            object.__setattr__(storage, "begin", begin)
        return begin, end

    def _refuse_other_count(self, data: Buffer, storage: Storage, at: int) -> None:
        known = dtype_named(storage.dtype)
        (count,) = _COUNT.unpack_from(data, at)
        if count * (known.itemsize_bytes if known else 1) != storage.size_bytes:
            raise Damaged(
                f"storage {storage.name!r} is declared with {storage.size_bytes:,} bytes, and {count:,} elements of "
                f"{storage.dtype} stand there",
                code="file/storage-bounds",
                path=self._path,
                help="the file was changed after it was written; fetch or copy it again",
            )
