"""A set of shards with an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json` and their kind.

The index only says where each key should be; what is there is read from the shards' own headers, and where the two disagree the
headers are right and the disagreement is noted. All headers are read when the set is opened, no tensor is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from intact.containers import shard_notes
from intact.containers.merging import merged_extras, merged_names
from intact.containers.ownership import Ownership
from intact.containers.sealed import SealedRuns
from intact.containers.sealed_content import Entries, sealed_description
from intact.containers.shard_index import SHARD_NAME, SHARDS_LIMIT, Index, is_index, read_index
from intact.containers.shown import listed, shown_list
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, Integrity, Source, Writer
from intact.core.keys import natural_order
from intact.core.manifest import Manifest, in_order
from intact.core.remark import Remark
from intact.core.tensor import TensorInfo
from intact.core.wording import count
from intact.errors import CannotRead, Damaged, IntactError
from intact.files.digests import ALGORITHM
from intact.files.reading import BoundedFile

NAME = "sharded"

OPEN_SHARDS = 128
"""Shards kept open at a time: each holds a file descriptor, and 1,024 is a common limit for a process."""


def matches(file: BoundedFile) -> bool:
    """Tells whether a file is a JSON document that maps keys to shards."""
    return is_index(file)


def open_file(file: BoundedFile) -> ShardedContainer:
    """Returns the set of shards that an index file describes.

    Args:
        file: The index; it is closed here, everything needed of it being read.

    Raises:
        CannotRead: A shard's name leads out of the folder (`safety/path-traversal`).
        Damaged: The index is not valid (`file/bad-header`), shards are missing (`file/missing-shard`, `file/dangling-link`) or
            cannot be read, or no shard holds a key that the index lists (`file/index-mismatch`).

    Source:
        huggingface_hub 2.4.0, `serialization/_base.py` (`StateDictSplit`), and the index files of transformers 5.
    """
    container = ShardedContainer(read_index(file))
    file.close()
    return container


class ShardedContainer:
    """One opened set of shards.

    Attributes:
        source: The index and all shards, their sizes together.
        aliases: Tied keys without bytes of their own, and the key that has them.
        remarks: Where shards stand under other names than the index has: only this reader finds them.
        notes: What is irregular without hindering a load: keys in another shard than the index says (`file/index-mismatch`),
            files of another save (`file/mixed-shards`), and the notes of the shards themselves.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._folder = index.path.parent
        self._shards = _Shards(self._folder)
        self._records: dict[str, TensorRecord] = {}
        self._ownership: dict[str, Ownership] = {}
        self._entries = Entries(index.manifest.entries if index.manifest else {}, str(index.path))
        try:
            notes: list[IntactError] = []
            names, self.remarks = self._present()
            self._descriptions = self._shards.descriptions(names)
            manifests = {name: self._shards.manifests[name] for name in names}
            shard_notes.refuse_other_saves(index, manifests)
            held = _held(self._descriptions)
            shard_notes.refuse_keys_nowhere(index, held, _other_entries(self._descriptions))
            shard_notes.refuse_other_keys(index, held)
            if not self.remarks:
                notes += shard_notes.misplaced_keys(index, held)
            notes += shard_notes.unlisted_keys(index, held)
            self._home = {key: index.home[key] if index.home.get(key) in where else where[0] for key, where in held.items()}
            notes += shard_notes.different_moments(index, self._descriptions)
            notes += self._left_over()
            notes += self._shards.notes(names)
            notes += index.notes
            notes += shard_notes.sealed_apart(index, manifests)
            self.aliases = index.manifest.aliases if index.manifest else {}
            self._entries.check((*held, *self.aliases))
            self.source = self._summed(names)
        except BaseException:
            self.close()
            raise
        self.notes: tuple[IntactError, ...] = tuple(notes)

    def describe(self) -> Description:
        """Returns all shards as one: tensors in the order of the shards, extras that differ with the shard's name in front."""
        return self._description

    @cached_property
    def _description(self) -> Description:
        parts = self._descriptions.values()
        tensors: dict[str, TensorInfo] = {}
        for name, part in self._descriptions.items():
            tensors.update((key, tensor) for key, tensor in part.tensors.items() if self._home[key] == name)
        merged = Description(
            tensors=tensors,
            ties=tuple(tie for part in parts for tie in part.ties),
            modules={path: module for part in parts for path, module in part.modules.items()},
            extras=merged_extras(self._index, self._descriptions),
            foreign=merged_names(name for part in parts for name in part.foreign),
            extra_state=tuple(dict.fromkeys(key for part in parts for key in part.extra_state)),
            meaningful_order=all(part.meaningful_order for part in parts),
            metadata={path: version for part in parts for path, version in part.metadata.items()},
        )
        manifest = self._index.manifest
        return self._entries.described(sealed_description(merged, manifest)) if manifest else merged

    @property
    def manifest(self) -> Manifest | None:
        """What was sealed with the set; None where it is not."""
        return self._index.manifest

    def sealed_runs(self) -> Iterator[SealedRuns]:
        """Yields the tensors of each shard with the digests of their bytes, one shard after the other.

        None without the index that was sealed with them: what it does not name would be missing without a word.
        """
        if self._index.manifest is None:
            return
        for name in self._descriptions:
            for run in getattr(self._shards.opened(name), "sealed_runs", tuple)():
                yield replace(run, name=name)

    def objects(self) -> dict[Any, Any]:
        """Returns one mapping of all shards' entries; of an entry that stands in two shards, the one that the index means.

        Raises:
            Damaged: A shard is no mapping (`file/bad-header`).
        """
        merged: dict[Any, Any] = {}
        for name in self._descriptions:
            content = self._shards.opened(name).objects()
            if not isinstance(content, Mapping):
                raise Damaged(
                    f"`{name}` holds a {type(content).__name__}, and shards hold mappings of keys to tensors",
                    code="file/bad-header",
                    path=str(self._folder / name),
                    help="read the shards one by one",
                )
            own = self._owned_by(name)
            merged.update((key, own.of(value)) for key, value in content.items() if self._home.get(key, name) == name)
        held = {
            key: self._records.setdefault(key, value) if isinstance(value, TensorRecord) else value
            for key, value in merged.items()
        }
        if self._index.manifest is None:
            return held
        ordered = {key: held[self.aliases.get(key, key)] for key in in_order(held, self._index.manifest)}
        return {**ordered, **self._entries.objects}

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor of that key.

        Raises:
            KeyError: There is none.
        """
        key = self.aliases.get(key, key)
        if key not in self._records:
            if key not in self._home and (within := self._entries.record(key)) is not None:
                return within
            name = self._home[key]
            self._records[key] = self._owned_by(name).record(self._shards.opened(name).record(key))
        return self._records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of one storage from its shard."""
        if not storage.file and (held := self._entries.bytes_of(storage)) is not None:
            return held
        return self._shards.opened(storage.file).storage_bytes(replace(storage, file=""))

    def forget(self) -> None:
        """Gives back the memory of pages that were read."""
        self._shards.forget()

    def close(self) -> None:
        """Closes all shards."""
        self._shards.close()

    def _owned_by(self, name: str) -> Ownership:
        return self._ownership.setdefault(name, Ownership(name))

    # --- which files belong to the set

    def _present(self) -> tuple[list[str], tuple[Remark, ...]]:
        """Returns the shards to read, and a remark where they are others than the index names."""
        named = sorted(set(self._index.home.values()), key=natural_order)
        absent = [name for name in named if not os.path.isfile(self._folder / name)]
        if not absent:
            return named, ()
        gone = set(absent)
        lost = [key for key, name in self._index.home.items() if name in gone]
        instead = self._that_hold(set(lost), absent[0], named)
        if not instead:
            raise self._missing(absent, len(named), lost)
        names = sorted({*named, *instead} - gone, key=natural_order)
        return names, (shard_notes.other_sharding(absent, lost, instead),)

    def _that_hold(self, lost: set[str], absent: str, named: list[str]) -> list[str]:
        """Returns files beside an absent shard that together hold each lost key exactly once; none where they do not."""
        holders: list[str] = []
        found: list[str] = []
        for name in self._shards.beside(absent, named):
            there = lost.intersection(self._shards.keys_or_none(name))
            if there:
                holders.append(name)
                found += there
        return holders if len(found) == len(lost) and set(found) == lost else []

    def _missing(self, absent: list[str], shard_count: int, lost: list[str]) -> Damaged:
        dangling = [name for name in absent if os.path.islink(self._folder / name)]
        counted = f"{len(absent)} of {count(shard_count, 'shard')}"
        if len(dangling) == len(absent):
            code, what = "file/dangling-link", f"{counted} are links to files that are not there"
            remedy = "copy the folder with its links resolved (cp -L), or download the checkpoint again"
        else:
            code, what = "file/missing-shard", f"{counted} {'is' if len(absent) == 1 else 'are'} missing"
            remedy = "fetch the missing files into the same folder; an interrupted download can be continued"
        return Damaged(
            f"{what}: {listed(absent)}, with {len(lost):,} of {count(len(self._index.home), 'key')}",
            code=code,
            path=str(self._folder),
            evidence={
                "missing": shown_list(absent),
                "missing_count": len(absent),
                "shard_count": shard_count,
                "keys": shown_list(lost),
                "key_count": len(lost),
                "dangling_links": shown_list(dangling),
            },
            help=remedy,
        )

    def _left_over(self) -> Iterator[IntactError]:
        """Yields a note on each file beside the set that is named like a shard of it and holds keys of it."""
        kinds = {
            (PurePosixPath(name).parent, PurePosixPath(name).suffix): name
            for name in self._descriptions
            if SHARD_NAME.match(name)
        }
        for example in kinds.values():
            for name in self._shards.beside(example, self._descriptions):
                again = [key for key in self._shards.keys_or_none(name) if key in self._home]
                if again and not self._of_a_dead_save(name):
                    yield shard_notes.held_again(self._index, name, again)

    def _of_a_dead_save(self, name: str) -> bool:
        """Whether a file beside a sealed set is a shard of another save, which was stopped before its index was there."""
        other = self._shards.manifests.get(name)
        return self._index.manifest is not None and other is not None and other.save != self._index.manifest.save

    def _summed(self, names: Iterable[str]) -> Source:
        sources = [self._shards.sources[name] for name in names]
        kinds = {source.integrity.kind for source in sources}
        if self._index.manifest is None:
            kinds = {"none" if kind == ALGORITHM else kind for kind in kinds}
        writers = {source.writer for source in sources}
        return Source(
            path=str(self._index.path),
            container=NAME,
            size_bytes=self._index.size_bytes + sum(source.size_bytes for source in sources),
            files=(self._index.path.name, *names),
            writer=writers.pop() if len(writers) == 1 else Writer(),
            integrity=Integrity(kinds.pop()) if len(kinds) == 1 else Integrity(),
        )


class _Shards:
    """The files of one set, opened when first asked for; never more than `OPEN_SHARDS` at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Container] = {}
        self._described: dict[str, Description] = {}
        self._notes: dict[str, tuple[IntactError, ...]] = {}
        self.sources: dict[str, Source] = {}
        self.manifests: dict[str, Manifest | None] = {}

    def opened(self, name: str) -> Container:
        """Returns an open shard."""
        from intact.containers import open_single  # which knows this module

        if name not in self._open:
            if len(self._open) >= OPEN_SHARDS:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = open_single(self._folder / name)
        return self._open[name]

    def descriptions(self, names: Iterable[str]) -> dict[str, Description]:
        """Describes shards, and raises one error that names all that cannot be read."""
        failed: dict[str, IntactError] = {}
        described: dict[str, Description] = {}
        for name in names:
            try:
                described[name] = self._description(name)
            except IntactError as error:  # noqa: PERF203 - every shard is judged, so that one error names them all
                failed[name] = error
        if failed:
            raise _together(self._folder, failed, len(described) + len(failed))
        return described

    def keys_or_none(self, name: str) -> Iterable[str]:
        """Returns the keys of a file beside the set; none where it cannot be read, which is not the set's concern."""
        try:
            return self._description(name).tensors
        except IntactError:
            return ()

    def beside(self, example: str, known: Iterable[str]) -> list[str]:
        """Returns the other files in a shard's folder that are named like shards and have its suffix."""
        folder, suffix = PurePosixPath(example).parent, PurePosixPath(example).suffix
        try:
            with os.scandir(self._folder / folder) as entries:
                names = [entry.name for entry in entries if SHARD_NAME.match(entry.name) and entry.is_file()]
        except OSError:
            return []
        others = {str(folder / name) for name in names if name.endswith(suffix)} - set(known)
        return sorted(others, key=natural_order)[:SHARDS_LIMIT]

    def notes(self, names: Iterable[str]) -> Iterator[IntactError]:
        """Yields the notes of the shards themselves."""
        for name in names:
            yield from shard_notes.of_shard(name, self._notes[name])

    def forget(self) -> None:
        """Gives back the memory of pages of every open shard."""
        for container in self._open.values():
            if (forget := getattr(container, "forget", None)) is not None:
                forget()

    def close(self) -> None:
        """Closes every open shard."""
        for container in self._open.values():
            container.close()
        self._open.clear()

    def _description(self, name: str) -> Description:
        if name not in self._described:
            container = self.opened(name)
            self._described[name] = container.describe()
            self._notes[name] = tuple(getattr(container, "notes", ()))
            self.sources[name] = container.source
            self.manifests[name] = getattr(container, "manifest", None)
        return self._described[name]


def _held(descriptions: Mapping[str, Description]) -> dict[str, list[str]]:
    held: dict[str, list[str]] = {}
    for name, description in descriptions.items():
        for key in description.tensors:
            held.setdefault(key, []).append(name)
    return held


def _other_entries(descriptions: Mapping[str, Description]) -> frozenset[str]:
    parts = descriptions.values()
    return frozenset(path for part in parts for path in (*part.extra_state, *(extra.path for extra in part.extras)))


def _together(folder: Path, failed: Mapping[str, IntactError], shard_count: int) -> IntactError:
    """Returns one error for all shards that cannot be read: of the kind and code of the first, with every shard by name."""
    name, first = next(iter(failed.items()))
    more = f"; {len(failed)} of {count(shard_count, 'shard')} cannot be read: {listed(failed, 50)}" if len(failed) > 1 else ""
    kind = type(first) if isinstance(first, CannotRead) else CannotRead
    shards = {shard: {"code": error.code, "message": error.message} for shard, error in list(failed.items())[:50]}
    return kind(
        f"shard `{name}`: {first.message}{more}",
        code=first.code,
        path=str(folder),
        evidence={**first.evidence, "shards": shards, "shard_count": shard_count},
        help=first.help,
    )
