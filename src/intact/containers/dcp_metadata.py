"""The `.metadata` file of torch.distributed.checkpoint: which tensors there are, in which chunks, and where each chunk stands.

It is a pickle of small records, and reading it with `pickle` runs whatever else stands in it. Here the records stay inert, and
only names, sizes and places are taken out of them, each held against bounds before it is used.

Source:
    torch 2.13 `distributed/checkpoint/metadata.py`, `filesystem.py` (`_StorageInfo`) and `_traverse.py`; folders of 2.0 to 2.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from intact.containers.pickles import GlobalName, Unpickled, load
from intact.containers.shard_index import leading_out
from intact.containers.shown import shown, shown_list
from intact.core.container import Foreign
from intact.core.dtype import dtype_named
from intact.errors import CannotRead, Damaged
from intact.files.reading import BoundedFile

LIMIT_BYTES = 1 << 28
"""Largest metadata that is read; a chunk takes about 500 bytes of it."""
RANK_LIMIT = 64
OWN_NAMES = ("torch.distributed.checkpoint.", "torch.distributed._shard.", "collections.")
_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of one item stand.

    Attributes:
        file: Relative to the folder.
        begin: First byte.
        end: One past the last byte.
        packed: Names of the transforms that were applied to them (`zstd`); empty for plain items.
    """

    file: str
    begin: int
    end: int
    packed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a tensor.

    Attributes:
        offsets: Of its first element, one for each dimension.
        sizes: In elements.
        place: Where it stands; None where the metadata do not say.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    place: Place | None


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a checkpoint.

    Attributes:
        name: Its name, with dots.
        path: Names of mappings and positions in lists that lead to it in the nesting that was saved.
        dtype: Of a tensor; "" for any other object.
        shape: Of a tensor, in elements.
        chunks: Of a tensor, or the one place of any other object.
    """

    name: str
    path: tuple[str | int, ...]
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metadata file says.

    Attributes:
        items: In the order in which they are listed.
        unpickled: The whole pickle, with the names that it mentions.
    """

    items: tuple[Item, ...]
    unpickled: Unpickled


def is_metadata(head: bytes) -> bool:
    """Tells whether a pickle begins with the record of this format, or one that a framework derived from it."""
    return head[:1] == b"\x80" and (b"checkpoint.metadata" in head or b"dist_checkpointing" in head) and b"Metadata" in head


def read_metadata(file: BoundedFile) -> Metadata:
    """Returns what a metadata file says.

    Raises:
        Damaged: It ends early (`file/truncated`) or contradicts itself (`file/bad-header`).
        CannotRead: A place leads out of the folder (`safety/path-traversal`).
    """
    path = str(file.path)
    unpickled = load(file.view(0, min(file.size_bytes, LIMIT_BYTES)), path=path)
    state = _state(unpickled.value)
    listed = state.get("state_dict_metadata")
    if not isinstance(listed, dict):
        raise _damaged(path, "it has no list of tensors")
    places = _places(state.get("storage_data"), path)
    routes = state.get("planner_data")
    items = []
    for name, record in dict.items(listed):
        if isinstance(name, str) and isinstance(record, Foreign):
            items.append(_item(name, record, places, routes if isinstance(routes, dict) else {}, path))
    return Metadata(tuple(items), unpickled)


def _state(value: Any) -> dict[Any, Any]:
    state = value.state if isinstance(value, Foreign) else None
    return state if isinstance(state, dict) else {}


def _item(name: str, record: Foreign, places: Mapping[Any, Place], routes: Mapping[Any, Any], path: str) -> Item:
    state = _state(record)
    route = _route(routes.get(name), name)
    if "size" not in state:
        return Item(name, route, "", (), (Chunk((), (), places.get((name, None))),))
    shape, dtype = _sizes(state.get("size"), path, name), _dtype(state.get("properties"))
    listed = state.get("chunks")
    if not isinstance(listed, list | tuple):
        raise _damaged(path, f"the chunks of `{shown(name)}` are no list")
    chunks = tuple(_chunk(name, each, shape, places, path) for each in listed)
    known = dtype_named(dtype)
    if prod(shape) * (known.itemsize_bytes if known else 1) >= _LIMIT:
        raise _damaged(path, f"`{shown(name)}` has more elements than any file can hold")
    return Item(name, route, dtype, shape, chunks)


def _chunk(name: str, record: Any, shape: tuple[int, ...], places: Mapping[Any, Place], path: str) -> Chunk:
    state = _state(record)
    offsets, sizes = _sizes(state.get("offsets"), path, name), _sizes(state.get("sizes"), path, name)
    if len(offsets) != len(shape) or len(sizes) != len(shape):
        raise _damaged(path, f"a chunk of `{shown(name)}` has other dimensions than the tensor")
    if any(offset + size > whole for offset, size, whole in zip(offsets, sizes, shape, strict=True)):
        raise _damaged(path, f"a chunk of `{shown(name)}` reaches outside the tensor: {offsets} and {sizes} in {shape}")
    return Chunk(offsets, sizes, places.get((name, offsets), places.get((name, None))))


def _places(rows: Any, path: str) -> dict[tuple[str, tuple[int, ...] | None], Place]:
    """Returns the place of each item by name and, for chunks, offsets."""
    if not isinstance(rows, dict):
        return {}
    found: dict[tuple[str, tuple[int, ...] | None], Place] = {}
    for index, info in dict.items(rows):
        name, offset = _state(index).get("fqn"), _state(index).get("offset")
        state = _state(info)
        file, begin, length = state.get("relative_path"), state.get("offset"), state.get("length")
        if not isinstance(name, str) or not isinstance(file, str) or type(begin) is not int or type(length) is not int:
            raise _damaged(path, f"the place of {name!r:.80} is of no known form")
        if not 0 <= begin <= begin + length < _LIMIT:
            raise _damaged(path, f"the place of `{shown(name)}` is impossible: {length} bytes from {begin} on")
        packed = state.get("transform_descriptors") or ()
        found[(name, tuple(offset) if isinstance(offset, tuple) else None)] = Place(
            file, begin, begin + length, tuple(str(each)[:40] for each in packed) if isinstance(packed, (list, tuple)) else ()
        )
    outside = leading_out({place.file for place in found.values()})
    if outside:
        raise CannotRead(
            f"its metadata lead out of the folder: `{shown(outside[0])}`",
            code="safety/path-traversal",
            path=path,
            evidence={"names": shown_list(outside), "name_count": len(outside)},
            help="do not use this checkpoint before you know who wrote it; its files belong beside the metadata",
        )
    return found


def _sizes(value: Any, path: str, name: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > RANK_LIMIT or not all(type(n) is int and 0 <= n < _LIMIT for n in value):
        raise _damaged(path, f"sizes of `{shown(name)}` are of no known form")
    return tuple(value)


def _dtype(properties: Any) -> str:
    """Returns the dtype of a tensor; the record of its properties was a tuple of five in every release, and a dict before."""
    state = properties.state if isinstance(properties, Foreign) else None
    found = state.get("dtype") if isinstance(state, dict) else state[0] if isinstance(state, tuple) and state else None
    if isinstance(found, GlobalName):
        return found.dtype or found.name.rpartition(".")[2]
    return "unknown"


def _route(value: Any, name: str) -> tuple[str | int, ...]:
    if isinstance(value, tuple) and 0 < len(value) <= RANK_LIMIT and all(type(step) in (str, int) for step in value):
        return value
    return (name,)


def _damaged(path: str, why: str) -> Damaged:
    return Damaged(
        f"the metadata contradict themselves: {why}",
        code="file/bad-header",
        path=path,
        help="the file was changed after it was written, or copied badly; fetch or copy it again",
    )
