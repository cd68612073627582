"""A damaged checkpoint opened as far as it can be: one file, or every file of a set by itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from intact.containers import FORMATS, container_name, located, open_container, open_single
from intact.containers.shard_index import SHARDS_LIMIT, Index, read_index
from intact.containers.unindexed import set_of
from intact.core.checksum import Checksum
from intact.core.container import Container
from intact.core.keys import natural_order
from intact.core.lost import Lost
from intact.errors import IntactError
from intact.files.crc32 import crc32
from intact.files.reading import BoundedFile

_TOLERANT = {
    "safetensors": "intact.containers.safetensors",
    "torch-zip": "intact.containers.torch_zip",
    "torch-legacy": "intact.containers.torch_legacy",
    "dcp": "intact.containers.dcp",
}
"""Format to the module whose `open_rest` goes on where `open_file` gives up."""


@dataclass(slots=True)
class Part:
    """One file of a checkpoint, or all of it where it opens as it should.

    Attributes:
        container: Open; None where nothing is left.
        lost: What its reader could not find.
        name: Which file of a set it is; "" for the whole.
        expected: Keys that an index places here.
    """

    container: Container | None
    lost: Lost = field(default_factory=Lost)
    name: str = ""
    expected: frozenset[str] | None = None


def parts_of(path: str | os.PathLike[str]) -> list[Part]:
    """Returns what is left of a checkpoint; the caller closes the containers.

    Args:
        path: File, folder or index.

    Raises:
        CannotRead: It is not there, is no checkpoint, or nothing of it is left.
    """
    try:
        container = open_container(path)
        if not _is_changed(container):
            return [Part(container)]
        container.close()
        return [_rest(located(Path(path)), IntactError("the part that says what the tensors are changed"))]
    except IntactError as error:
        place = located(Path(path))
        if container_name(place) == "sharded":
            return _of_set(place)
        if place != Path(path) and (named := set_of(place.parent, place.name)) is not None:
            return _of_names(place.parent, *named)
        return [_rest(place, error)]


def _is_changed(container: Container) -> bool:
    """Whether the part that says what the tensors are does not have its checksum, and can be read none the less."""
    checksums: Iterable[Checksum] = getattr(container, "checksums", tuple)()
    return any(row.main and row.expected and crc32(row.content) != row.expected for row in checksums)


def _rest(path: Path, error: IntactError) -> Part:
    """Returns what is left of one file that does not open as it should."""
    file = BoundedFile(path)
    module = next((module for name, module in _TOLERANT.items() if FORMATS[name].matches(file)), None)
    if module is None:
        file.close()
        raise error
    reader: Any = import_module(module)
    lost = Lost()
    try:
        return Part(reader.open_rest(file, lost), lost)
    except IntactError:
        file.close()
        raise error from None  # the first reason is the one that a user knows from `check`
    except BaseException:
        file.close()
        raise


def _of_names(folder: Path, names: list[str], absent: list[str]) -> list[Part]:
    """Returns what is left of each shard of a set without an index; nobody can say what the absent ones held."""
    parts = []
    for name in names:
        if name not in absent:
            try:
                parts.append(Part(open_single(folder / name)))
            except IntactError as error:
                parts.append(_rest(folder / name, error))
    return parts


def _of_set(path: Path) -> list[Part]:
    """Returns what is left of each shard, and of the keys that an index names and no shard holds."""
    lost = Lost()
    with BoundedFile(path) as file:
        index = read_index(file, lost)
    names = sorted(set(index.home.values()), key=natural_order)[:SHARDS_LIMIT]
    return [Part(None, lost), *(_shard(index, name) for name in names)]


def _shard(index: Index, name: str) -> Part:
    place = index.path.parent / name
    expected = frozenset(key for key, home in index.home.items() if home == name)
    try:
        try:
            part = Part(open_single(place))
        except IntactError as error:
            part = _rest(place, error)
    except IntactError as error:
        why = f"`{name}` is not there" if not os.path.isfile(place) else f"`{name}` cannot be read: {error.message}"
        return Part(None, Lost(keys=dict.fromkeys(expected, why)), name, expected)
    part.name, part.expected = name, expected
    return part
