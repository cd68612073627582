"""A folder of torch.distributed.checkpoint: tensors in chunks, assembled to whole ones when somebody asks for their bytes.

Each chunk, and each object that is no tensor, is a small archive of torch of its own inside a `.distcp` file; its CRC-32
covers it. Descriptions come from the metadata alone.

Source:
    torch 2.13 `distributed/checkpoint/filesystem.py` and `default_planner.py`; folders of one and of several writers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from intact.containers.dcp_assembly import Undoing, overlap, place_chunk, put, renamed, with_lists
from intact.containers.dcp_metadata import OWN_NAMES, Chunk, Item, Metadata, Place, is_metadata, read_metadata
from intact.containers.objects import Walked, walk
from intact.containers.pickles import merged
from intact.containers.pickles.dangers import grade
from intact.containers.shown import listed, shown, shown_list
from intact.core.checksum import Checksum
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, ForeignName, Integrity, Source, Writer
from intact.core.dtype import dtype_named
from intact.core.lost import Lost
from intact.core.wording import count
from intact.errors import CannotRead, Damaged, IntactError
from intact.files.reading import BoundedFile

NAME = "dcp"


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is the metadata of such a folder."""
    return is_metadata(file.head(256))


def open_file(file: BoundedFile) -> DcpContainer:
    """Returns the folder whose metadata a file is.

    Raises:
        Damaged: Files are missing (`file/missing-shard`) or end early (`file/truncated`), or the metadata contradict themselves.
        CannotRead: A place leads out of the folder (`safety/path-traversal`).
    """
    return DcpContainer(file, None)


def open_rest(file: BoundedFile, lost: Lost) -> DcpContainer:
    """Returns what is left of a damaged folder.

    Args:
        file: The metadata.
        lost: Takes what is not there any more.

    Raises:
        CannotRead: The metadata cannot be read.
    """
    return DcpContainer(file, lost)


class DcpContainer(Undoing):
    """One opened folder.

    Attributes:
        source: The folder, and all its files.
    """

    def __init__(self, file: BoundedFile, lost: Lost | None) -> None:
        super().__init__()
        self._folder = file.path.parent
        self._metadata: Metadata = read_metadata(file)
        self._lost = lost
        self._files: dict[str, BoundedFile] = {}
        self._opened: dict[Place, Container] = {}
        self._records: dict[str, TensorRecord] = {}
        names = sorted({chunk.place.file for item in self._metadata.items for chunk in item.chunks if chunk.place})
        try:
            self._gone = self._absent(names) | self._short()
            self._objects = self._nested()
            if lost is not None:
                lost.storages.update(self._gone)
                lost.keys.update(self._keys_without_bytes())
        except BaseException:
            self.close()
            raise
        sizes = sum(each.size_bytes for each in self._files.values())
        self.source = Source(
            str(self._folder),
            NAME,
            file.size_bytes + sizes,
            (file.path.name, *names),
            Writer("torch.distributed.checkpoint", "", "a file .metadata"),
            Integrity("crc32"),
        )
        file.close()

    def describe(self) -> Description:
        """Returns what the folder holds; keys are those of the nesting that was saved."""
        found: Description = self._walked.description
        return found

    @cached_property
    def _walked(self) -> Walked:
        own = [name for name in self._metadata.unpickled.foreign if not self._is_own(name)]
        beside: list[ForeignName] = []
        for place, container in self._opened.items():
            names = container.describe().foreign
            beside += [replace(name, place=f"{place.file}, the archive at byte {place.begin:,}") for name in names]
        return walk(self._objects, merged(tuple(own), beside), str(self._folder))

    @staticmethod
    def _is_own(name: ForeignName) -> bool:
        """Whether the metadata of every such folder have a name; their pickle is never read with `weights_only`."""
        return name.name.startswith(OWN_NAMES) or grade(name.name, called=name.called) == "data"

    def objects(self) -> Any:
        """Returns the nesting that was saved."""
        return self._objects

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor that `describe` lists under a key.

        Raises:
            KeyError: It lists none.
        """
        found: TensorRecord = self._walked.records[key]
        return found

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of a tensor in C order, assembled from its chunks; a view where one chunk is all of it.

        Raises:
            Damaged: A chunk is not what the metadata say, or chunks leave gaps.
        """
        if storage.file:
            place, inner = self._held[storage.name]
            return self._archive(place).storage_bytes(inner)
        return self._assembled(self._by_name[storage.name], storage)

    def checksums(self) -> Iterable[Checksum]:
        """Yields the CRC-32 of every record of every small archive.

        Raises:
            Damaged: One cannot be opened.
        """
        for item in self._metadata.items:
            for chunk in item.chunks:
                if chunk.place is not None and item.name not in self._gone:
                    yield from self._checksums_at(item, chunk.place)

    def _checksums_at(self, item: Item, place: Place) -> Iterator[Checksum]:
        sums: Iterable[Checksum] = getattr(self._archive(place), "checksums", tuple)()
        for each in sums:
            begin = place.begin + each.begin if each.begin >= 0 else -1
            of = item.name if each.storage or each.main else ""
            yield Checksum(f"{place.file}:{item.name}:{each.record}", each.expected, each.content, begin, of)

    def forget(self) -> None:
        """Gives back the memory of pages that were read."""
        for file in self._files.values():
            file.forget()

    def close(self) -> None:
        """Closes all files."""
        for container in self._opened.values():
            container.close()
        for file in self._files.values():
            file.close()

    # --- which files there are

    def _absent(self, names: list[str]) -> dict[str, str]:
        """Opens the files, and returns what lies in those that are not there."""
        gone = [name for name in names if not os.path.isfile(self._folder / name)]
        for name in names:
            if name not in gone:
                self._files[name] = BoundedFile(self._folder / name)
        lost = {key: f"`{file}` is not there" for key, file in self._keys_in(gone)}
        if gone and self._lost is None:
            raise Damaged(
                f"{len(gone)} of {count(len(names), 'file')} {'is' if len(gone) == 1 else 'are'} missing: {listed(gone)}, "
                f"with {count(len(lost), 'entry', 'entries')}",
                code="file/missing-shard",
                path=str(self._folder),
                evidence={"missing": shown_list(gone), "missing_count": len(gone), "keys": shown_list(lost)},
                help="copy the missing files into the same folder; each rank wrote its own, perhaps to a disk of its own",
            )
        return lost

    def _short(self) -> dict[str, str]:
        """Returns what lies behind the end of a file that ends early."""
        lost: dict[str, str] = {}
        first: tuple[str, int, int] | None = None
        for item in self._metadata.items:
            for place in (chunk.place for chunk in item.chunks):
                file = self._files.get(place.file) if place else None
                if place is None or file is None or place.end <= file.size_bytes:
                    continue
                first = first or (place.file, place.end, file.size_bytes)
                lost[item.name] = f"`{place.file}` ends at byte {file.size_bytes:,}, and it needs those up to {place.end:,}"
        if first and self._lost is None:
            needed = max(
                chunk.place.end
                for i in self._metadata.items
                for chunk in i.chunks
                if chunk.place and chunk.place.file == first[0]
            )
            raise Damaged(
                f"`{first[0]}` ends at byte {first[2]:,}, and the metadata place items up to {needed:,}: "
                f"{needed - first[2]:,} are missing; "
                f"{len(self._metadata.items) - len(lost)} of {count(len(self._metadata.items), 'entry', 'entries')} are whole",
                code="file/truncated",
                path=str(self._folder),
                evidence={"file": first[0], "needed_bytes": needed, "size_bytes": first[2], "keys": shown_list(lost)},
                help="copy the file again, or take the checkpoint before it; intact salvage gets out what is whole",
            )
        return lost

    def _keys_in(self, files: list[str]) -> Iterator[tuple[str, str]]:
        gone = set(files)
        for item in self._metadata.items:
            for chunk in item.chunks:
                if chunk.place is not None and chunk.place.file in gone:
                    yield item.name, chunk.place.file

    # --- the nesting

    @cached_property
    def _by_name(self) -> Mapping[str, Item]:
        return {item.name: item for item in self._metadata.items}

    @cached_property
    def _held(self) -> dict[str, tuple[Place, Storage]]:
        """Storages inside objects that are no tensors, by the name that they have here."""
        return {}

    def _keys_without_bytes(self) -> Iterator[tuple[str, str]]:
        for key, record in self._walked.records.items():
            if record.storage is not None and record.storage.name in self._gone:
                yield key, self._gone[record.storage.name]

    def _nested(self) -> Any:
        root: dict[Any, Any] = {}
        for item in self._metadata.items:
            if item.dtype:
                put(root, item.path, self._record_of(item))
            elif item.name not in self._gone:
                put(root, item.path, self._object_of(item))
        return with_lists(root)

    def _record_of(self, item: Item) -> TensorRecord:
        known = dtype_named(item.dtype)
        stride = tuple(prod(max(size, 1) for size in item.shape[place + 1 :]) for place in range(len(item.shape)))
        storage = Storage(item.name, item.dtype, prod(item.shape) * (known.itemsize_bytes if known else 1))
        return TensorRecord(storage, item.dtype, item.shape, stride)

    def _object_of(self, item: Item) -> Any:
        place = item.chunks[0].place if item.chunks else None
        if place is None:
            return None
        try:
            content = self._archive(place).objects()
        except IntactError as error:
            if self._lost is None:
                raise
            self._lost.keys[item.name] = error.message
            return None
        return renamed(content, item.name, place, self._held)

    def _archive(self, place: Place) -> Container:
        """Returns the small archive that stands at a place."""
        from intact.containers import open_inside  # which knows this module

        found = self._opened.get(place)
        if found is None:
            if place.packed:
                raise CannotRead(
                    f"its items were packed by {listed(place.packed)} as they were written, which is not read",
                    code="file/foreign-format",
                    path=str(self._folder),
                    help="load it with the program that wrote it, and save it without a transform",
                )
            file = self._files.get(place.file)
            if file is None:
                raise Damaged(f"`{place.file}` is not there", code="file/missing-shard", path=str(self._folder))
            content = file.view(place.begin, place.end, what=f"`{place.file}`: the archive")
            found = self._opened[place] = open_inside(Path(f"{file.path}[{place.begin}:{place.end}]"), content)
        return found

    # --- the bytes

    def _assembled(self, item: Item, storage: Storage) -> memoryview:
        known = dtype_named(item.dtype)
        width = known.itemsize_bytes if known else 1
        if not storage.size_bytes:
            return memoryview(b"")
        parts = [(chunk, self._chunk_bytes(item, chunk)) for chunk in item.chunks if prod(chunk.sizes)]
        for chunk, content in parts:
            if chunk.sizes == item.shape:
                return content
        covered = sum(prod(chunk.sizes) for chunk, _ in parts)
        if covered != prod(item.shape) or overlap([chunk for chunk, _ in parts]):
            raise Damaged(
                f"the chunks of `{shown(item.name)}` do not make a whole: {covered:,} of {prod(item.shape):,} elements",
                code="file/bad-header",
                path=str(self._folder),
                evidence={"key": shown(item.name), "elements": prod(item.shape), "covered": covered},
                help="the save was changed or is incomplete; take the checkpoint before it",
            )
        whole = bytearray(storage.size_bytes)
        for chunk, content in parts:
            place_chunk(whole, item.shape, chunk, content, width)
        return memoryview(whole)

    def _chunk_bytes(self, item: Item, chunk: Chunk) -> memoryview:
        """Returns the bytes of a chunk in C order."""
        if chunk.place is None:
            raise Damaged(
                f"the metadata do not say where a chunk of `{shown(item.name)}` is",
                code="file/bad-header",
                path=str(self._folder),
            )
        container = self._archive(chunk.place)
        record = container.objects()
        if (
            not isinstance(record, TensorRecord)
            or record.storage is None
            or record.shape != chunk.sizes
            or record.dtype != item.dtype
        ):
            raise Damaged(
                f"a chunk of `{shown(item.name)}` is not the {item.dtype} tensor of {chunk.sizes} that the metadata say",
                code="file/bad-header",
                path=str(self._folder),
                evidence={"key": shown(item.name), "file": chunk.place.file, "begin": chunk.place.begin},
            )
        if not record.contiguous or record.storage.byteorder != "little":
            raise CannotRead(
                f"a chunk of `{shown(item.name)}` does not lie in C order", code="file/foreign-format", path=str(self._folder)
            )
        begin, end = record.span_bytes
        content = container.storage_bytes(record.storage)
        content = self._undone(content, f"{chunk.place.file}:{item.name}:", container, record.storage)
        return content[begin:end]
