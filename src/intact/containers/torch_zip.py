"""torch's format since 1.6: a zip archive with one folder that holds `data.pkl` and a record for each storage.

Records lie uncompressed at offsets that are multiples of 64, so that tensors can be used where they stand. Small records tell the
release (`byteorder` since 2.1, `.format_version` since 2.6). TorchScript and torch.export use the same archive for programs;
those are named and left to their own loaders.

Source:
    torch 2.13 `serialization.py` (`_save`, `_load`) and `caffe2/serialize/inline_container.cc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from intact.containers import exported, torch_package, torchscript
from intact.containers.array_tensors import with_tensors
from intact.containers.memory import Held
from intact.containers.pickled import PickledContainer
from intact.containers.pickles import GlobalName, begins_as_pickle, load, merged, names_in
from intact.containers.torch_legacy import nested_legacy, text_of
from intact.containers.torch_zip_remarks import (
    BYTE_ORDER,
    SAMPLED_BYTES,
    SAMPLED_STORAGES,
    SMALL_RECORD_LIMIT_BYTES,
    is_swapped,
    other_archive,
    remarks_of,
)
from intact.containers.zip_walk import WalkedZip
from intact.containers.zips import LOCAL_SIGNATURE, Entry, Zip
from intact.core.checksum import Checksum
from intact.core.container import Storage
from intact.core.description import ForeignName, Integrity, Source, Writer
from intact.core.dtype import dtype_named
from intact.core.lost import Lost
from intact.core.remark import Remark
from intact.errors import CannotRead, Damaged, NotACheckpoint
from intact.files.crc32 import crc32, flipped_bit
from intact.files.reading import BoundedFile

MEMBERS_LIMIT = 1000
"""Members beside the storages that are looked at for pickles; torch itself writes five."""
DIRECTORY_LIMIT = 1 << 26
"""Bytes of a torn central directory that are looked through for records behind it."""
PICKLE_LIMIT_BYTES = 1 << 30
"""Largest `data.pkl`; 20,000 tensors take two million bytes."""


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is a zip archive, by the same four bytes as torch."""
    return file.head(4) == LOCAL_SIGNATURE


def open_file(file: BoundedFile) -> PickledContainer:
    """Returns the opened archive; one whose directory alone is missing is read by its records.

    Raises:
        Damaged: It ends early, or contradicts itself.
        NotACheckpoint: It holds a program, other files, or several archives.
        TooLarge: It would take more memory than its size can justify.
    """
    try:
        archive = Zip(file)
    except Damaged as error:
        whole = _without_directory(file) if error.code == "file/truncated" else None
        if whole is None:
            raise
        return whole
    return _opened(file, archive, None)


def open_rest(file: BoundedFile, lost: Lost) -> PickledContainer:
    """Returns what is left of a damaged archive.

    Args:
        file: The file.
        lost: Takes what is not there any more.

    Raises:
        CannotRead: Not even the names of the tensors are left.
    """
    try:
        return _opened(file, Zip(file), lost)
    except Damaged:
        lost.storages.clear()
        lost.keys.clear()
        return _opened(file, WalkedZip(file), lost)


def _without_directory(file: BoundedFile) -> PickledContainer | None:
    """Returns an archive that lacks its directory and nothing else; every record has to agree with its CRC-32."""
    try:
        archive = WalkedZip(file)
        if archive.cut or archive.repeated or LOCAL_SIGNATURE in bytes(file.view(archive.end, file.size_bytes)[:DIRECTORY_LIMIT]):
            return None
        lost = Lost()
        container = _opened(file, archive, lost, _NO_DIRECTORY)
        sums = list(container.checksums())
    except CannotRead:
        return None
    whole = lost == Lost() and all(sum_.expected == crc32(sum_.content) for sum_ in sums)
    return container if whole else None


_NO_DIRECTORY = Remark(
    "file/truncated",
    "its end is not where it should be: the directory that says where the records are; the records themselves are all there",
    "error",
    cause="the copy, the transfer or the save stopped just before the end, or something was added behind it; torch finds nothing",
    help="every record agrees with the CRC-32 behind it, so nothing of the model is lost: write it anew",
    opened=True,
)


def open_archive(file: BoundedFile, archive: Zip, *remarks: Remark) -> PickledContainer:
    """Returns an opened archive whose records were found otherwise.

    Args:
        file: Stays with the container.
        archive: The records.
        remarks: What is to be said of how they were found.

    Raises:
        CannotRead: As for `open_file`.
    """
    return _opened(file, archive, None, *remarks)


def _opened(file: BoundedFile, archive: Zip, lost: Lost | None, *remarks: Remark) -> PickledContainer:
    if exported.is_exported(archive):
        return _exported(file, archive, lost)
    path = str(file.path)
    if torch_package.is_package(archive, folder := _first_folder(archive)):
        return _package(file, archive, folder, lost, *remarks)
    folder = _folder(archive, file)
    memory = Held(path, nested_legacy)
    storages = _Storages(archive, folder, path, memory, lost)
    main = f"{folder}data.pkl"
    pickle = _undone(archive, archive.entry(main), lost)
    unpickled = load(pickle, persistent_load=storages.load, memory=memory, path=path)
    if f"{folder}byteorder" not in archive and is_swapped(storages.samples()):
        storages = _Storages(archive, folder, path, memory, lost, byteorder="big")
        unpickled = load(pickle, persistent_load=storages.load, memory=memory, path=path)
        remarks += (BYTE_ORDER,)
    unpickled = replace(unpickled, foreign=merged(unpickled.foreign, _named_elsewhere(archive, storages.entries, main)))
    format_name = "torch-zip"
    if torchscript.is_program(archive, folder):
        unpickled, format_name = torchscript.state_of_program(archive, folder, unpickled), "torchscript"
        remarks += (torchscript.REMARK,)
    kept = any(entry.crc for entry in archive.entries.values())
    source = Source(
        path, format_name, file.size_bytes, (file.path.name,), _writer(archive, folder), Integrity("crc32" if kept else "none")
    )
    remarks += remarks_of(archive, folder, storages.entries)
    checksums = partial(_checksums, archive, storages.by_header, main, tolerant=lost is not None)
    as_described = partial(with_tensors, memory=memory)
    return PickledContainer(file, source, unpickled, storages.bytes_of, checksums, remarks, as_described, lost)


def _package(file: BoundedFile, archive: Zip, folder: str, lost: Lost | None, *remarks: Remark) -> PickledContainer:
    path = str(file.path)
    memory = Held(path, nested_legacy)
    storages = _Storages(archive, folder, path, memory, lost, place="{folder}.data/{key}.storage")
    mains = torch_package.pickles_in(archive, folder)
    if not mains:
        raise NotACheckpoint(
            "an archive of torch.package without a pickle: it holds no weights",
            code="file/foreign-format",
            path=path,
            help="name the file that the weights were saved to",
        )
    read = {}
    for main in mains:
        pickle = _undone(archive, archive.entry(main), lost)
        read[main[len(folder) :]] = load(pickle, persistent_load=storages.load, memory=memory, path=path)
    unpickled = torch_package.together(read)
    elsewhere = _named_elsewhere(archive, storages.entries, *mains, *torch_package.texts_in(archive, folder))
    unpickled = replace(unpickled, foreign=merged(unpickled.foreign, elsewhere))
    source = Source(
        path,
        torch_package.NAME,
        file.size_bytes,
        (file.path.name,),
        Writer("torch.package", "", "the layout of the archive"),
        Integrity("crc32" if any(entry.crc for entry in archive.entries.values()) else "none"),
    )
    checksums = partial(_checksums, archive, storages.by_header, mains[0], tolerant=lost is not None)
    return PickledContainer(file, source, unpickled, storages.bytes_of, checksums, (*remarks, torch_package.REMARK), lost=lost)


def _exported(file: BoundedFile, archive: Zip, lost: Lost | None) -> PickledContainer:
    weights = exported.Weights(archive, str(file.path))
    kept = any(entry.crc for entry in archive.entries.values())
    writer = Writer("torch.export", "", "the layout of the archive")
    source = Source(
        str(file.path), "exported-program", file.size_bytes, (file.path.name,), writer, Integrity("crc32" if kept else "none")
    )
    names = {entry.header: name for name, entry in weights.entries.items()}
    checksums = partial(_checksums, archive, names, "", tolerant=lost is not None)
    return PickledContainer(file, source, weights.unpickled, weights.bytes_of, checksums, (exported.REMARK,), lost=lost)


def _undone(archive: Zip, entry: Entry, lost: Lost | None) -> bytes:
    """Returns the main pickle; for the rest of a damaged file with the one bit flipped back that its CRC-32 tells."""
    pickle = bytes(archive.content(entry, PICKLE_LIMIT_BYTES))
    if lost is None or not entry.crc or (found := crc32(pickle)) == entry.crc:
        return pickle
    place = flipped_bit(len(pickle), found ^ entry.crc)
    if place is None:
        return pickle
    lost.undone[entry.name] = place
    whole = bytearray(pickle)
    whole[place[0]] ^= 1 << place[1]
    return bytes(whole)


def _checksums(archive: Zip, names: Mapping[int, str], main: str, *, tolerant: bool = False) -> Iterator[Checksum]:
    """Yields what the central directory keeps of every record; writers that keep none write zero."""
    for entry in archive.entries.values():
        if not entry.size_bytes:
            continue
        try:
            content = archive.content(entry)
            begin = archive.data_begin(entry) if entry.method == 0 else -1
        except CannotRead:
            if not tolerant:
                raise
        else:
            yield Checksum(entry.name, entry.crc, content, begin, names.get(entry.header, ""), entry.name.lower() == main.lower())


def _named_elsewhere(archive: Zip, storages: Iterable[Entry], *mains: str) -> Iterator[ForeignName]:
    """Yields what other pickles of the archive name: members beside the checkpoint, and second ones of a name."""
    known = {entry.header for entry in storages}
    read = {main.lower() for main in mains}
    others = [e for e in archive.entries.values() if e.header not in known and e.name.lower() not in read]
    for entry in [*archive.repeated, *others][:MEMBERS_LIMIT]:
        try:
            content = archive.content(entry, PICKLE_LIMIT_BYTES)
        except CannotRead:
            continue
        if begins_as_pickle(bytes(content[:256])):
            again = " (the second of that name)" if entry in archive.repeated else ""
            yield from names_in(bytes(content), f"{entry.name}{again}")


def _folder(archive: Zip, file: BoundedFile) -> str:
    """Returns the folder of the records, with its slash: that of the first record, as torch does it, or the only one there is."""
    names = [entry.name for entry in archive.entries.values()]
    folders = [name[: -len("data.pkl")] for name in names if name.lower().endswith("data.pkl") and name.count("/") <= 1]
    folder = _first_folder(archive)
    if f"{folder}data.pkl" not in archive:
        if len(folders) != 1 or not folders[0].endswith("/"):
            raise other_archive(names, str(file.path))
        folder = folders[0]
    return folder


def _first_folder(archive: Zip) -> str:
    first = next((entry.name for entry in archive.entries.values()), "").partition("/")
    return first[0] + first[1]


def _writer(archive: Zip, folder: str) -> Writer:
    if f"{folder}.format_version" in archive:
        return Writer("torch", ">=2.6", "a record .format_version")
    if f"{folder}byteorder" in archive:
        return Writer("torch", ">=2.1", "a record byteorder")
    if f"{folder}.data/serialization_id" in archive:
        return Writer("torch", ">=2.0", "a record .data/serialization_id")
    return Writer("torch", ">=1.6", "a zip archive with data.pkl")


def _byteorder(archive: Zip, folder: str, path: str) -> Literal["little", "big"]:
    name = f"{folder}byteorder"
    if name not in archive:
        return "little"
    order = bytes(archive.content(archive.entry(name), SMALL_RECORD_LIMIT_BYTES))
    if order not in (b"little", b"big"):
        raise Damaged(f"the byte order calls itself {order[:20]!r}, and is little or big", code="file/bad-header", path=path)
    return "big" if order == b"big" else "little"


class _Storages:
    """The storages that the objects refer to, by persistent id, each in a record of its own."""

    def __init__(
        self,
        archive: Zip,
        folder: str,
        path: str,
        memory: Held,
        lost: Lost | None,
        byteorder: Literal["little", "big"] | None = None,
        place: str = "{folder}data/{key}",
    ) -> None:
        self._archive = archive
        self._lost = lost
        self._folder = folder
        self._place = place
        self._path = path
        self._memory = memory
        self._byteorder = byteorder or _byteorder(archive, folder, path)
        self._by_key: dict[str, Storage] = {}
        self._entries: dict[str, Entry] = {}

    def load(self, identity: Any) -> Storage:
        """Returns the storage that a persistent id stands for."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or text_of(identity[0]) != "storage":
            raise TypeError("a persistent id of no known form")
        _, kind, key, device, elements = identity[:5]
        key = text_of(key)
        found = self._by_key.get(key)
        if found is not None:
            return found
        if not isinstance(kind, GlobalName) or not kind.dtype or type(elements) is not int or not 0 <= elements < 1 << 60:
            raise TypeError("a storage of no known form")
        known = dtype_named(kind.dtype)
        storage = self._placed(key, kind.dtype, elements * (known.itemsize_bytes if known else 1), text_of(device))
        self._by_key[key] = storage
        return storage

    def _placed(self, key: str, dtype: str, size_bytes: int, device: str) -> Storage:
        try:
            return self._found(key, dtype, size_bytes, device)
        except Damaged as error:
            if self._lost is None:
                raise
            self._lost.storages[key] = error.message
            return Storage(key, dtype, size_bytes, byteorder=self._byteorder, device=device)

    def _found(self, key: str, dtype: str, size_bytes: int, device: str) -> Storage:
        entry = self._archive.entry(self._place.replace("{folder}", self._folder).replace("{key}", key))
        if size_bytes > entry.size_bytes:
            raise Damaged(
                f"storage {key!r} is declared with {size_bytes:,} bytes, and its record {entry.name!r} has {entry.size_bytes:,}",
                code="file/storage-bounds",
                path=self._path,
                evidence={"storage": key, "declared_bytes": size_bytes, "record_bytes": entry.size_bytes},
                help="the file was changed after it was written, or packed again badly; fetch or copy it again",
            )
        if isinstance(self._archive, WalkedZip) and not self._archive.ends_after(entry, size_bytes):
            why = f"the end of its record {entry.name!r} is not where it should be"
            raise Damaged(why, code="file/bad-header", path=self._path)
        begin = self._archive.data_begin(entry)
        self._entries[key] = entry
        stored = entry.method == 0
        return Storage(key, dtype, size_bytes, byteorder=self._byteorder, device=device, begin=begin if stored else -1)

    def samples(self) -> Iterator[tuple[str, memoryview]]:
        """Yields dtype and first bytes of some storages."""
        for key, entry in list(self._entries.items())[:SAMPLED_STORAGES]:
            if entry.method == 0:
                yield self._by_key[key].dtype, self._archive.content(entry)[:SAMPLED_BYTES]

    @property
    def by_header(self) -> Mapping[int, str]:
        """Position of a member's header to the name of the storage that it holds."""
        return {entry.header: key for key, entry in self._entries.items()}

    @property
    def entries(self) -> Iterable[Entry]:
        """Members that hold storages of the checkpoint."""
        return self._entries.values()

    def bytes_of(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage.

        Raises:
            Damaged: They are not all there.
        """
        entry = self._entries.get(storage.name)
        if entry is None:
            return self._memory.bytes_of(storage)
        return self._archive.content(entry)[: storage.size_bytes]
