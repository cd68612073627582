"""Chunks put together to whole tensors, and entries with paths put together to the nesting that was saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice, product
from math import prod
from typing import Any

from intact.containers.dcp_metadata import Chunk, Place
from intact.core.checksum import Checksum
from intact.core.container import Container, Storage, TensorRecord

PAIRS_LIMIT = 20_000_000
"""Pairs of chunks of one tensor that are compared at most; a mesh of 10,000 devices needs a tenth of it."""


def put(root: dict[Any, Any], path: tuple[str | int, ...], value: Any) -> None:
    """Sets a value in a nesting of mappings; where a path leads through a value, it is kept under its whole name."""
    node = root
    for step in path[:-1]:
        inner = node.setdefault(step, {})
        if type(inner) is not dict:
            root[".".join(map(str, path))] = value
            return
        node = inner
    node[path[-1]] = value


def with_lists(node: Any) -> Any:
    """Makes lists of the mappings whose keys are the numbers from 0 on."""
    todo, made = [node], []
    while todo:
        current = todo.pop()
        made.append(current)
        todo.extend(value for value in current.values() if type(value) is dict)
    replaced: dict[int, list[Any]] = {}
    for current in reversed(made):
        for key, value in current.items():
            if id(value) in replaced:
                current[key] = replaced[id(value)]
        if current and all(type(key) is int for key in current) and sorted(current) == list(range(len(current))):
            replaced[id(current)] = [current[place] for place in range(len(current))]
    return replaced.get(id(node), node)


def renamed(content: Any, name: str, place: Place, held: dict[str, tuple[Place, Storage]]) -> Any:
    """Gives the storages inside an object names of their own, so that those of two objects are not taken for one another."""
    todo, seen = [content], set()
    while todo:
        value = todo.pop()
        if isinstance(value, TensorRecord):
            if value.storage is not None and not value.storage.file:
                own = f"{name}/{value.storage.name}"
                held[own] = (place, value.storage)
                value.storage = replace(value.storage, name=own, file=place.file, begin=-1)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            todo.extend(value.values() if isinstance(value, dict) else value)
    return content


def overlap(chunks: list[Chunk]) -> bool:
    """Tells whether two chunks share an element.

    They are swept along the dimension in which they are cut most; where that leaves too many pairs, nobody cut them by a mesh of
    devices, and they are taken to overlap.
    """
    rank = len(chunks[0].offsets) if chunks else 0
    if not rank:
        return len(chunks) > 1
    cut = max(range(rank), key=lambda axis: len({chunk.offsets[axis] for chunk in chunks}))
    ordered = sorted(chunks, key=lambda chunk: chunk.offsets[cut])
    pairs = 0
    for place, one in enumerate(ordered):
        for other in islice(ordered, place + 1, None):
            pairs += 1
            if other.offsets[cut] >= one.offsets[cut] + one.sizes[cut]:
                break
            ranges = zip(one.offsets, one.sizes, other.offsets, other.sizes, strict=True)
            if pairs > PAIRS_LIMIT or all(a < c + d and c < a + b for a, b, c, d in ranges):
                return True
    return False


def place_chunk(whole: bytearray, shape: tuple[int, ...], chunk: Chunk, content: memoryview, width: int) -> None:
    """Copies a chunk row by row to where it belongs; dimensions that it has all of are copied in one piece."""
    split = len(shape)
    while split > 1 and chunk.sizes[split - 1] == shape[split - 1]:
        split -= 1
    split = max(split, 1) - 1
    run = prod(chunk.sizes[split:]) * width
    strides = [prod(shape[place + 1 :]) * width for place in range(len(shape))]
    base = sum(offset * stride for offset, stride in zip(chunk.offsets, strides, strict=True))
    target = memoryview(whole)
    at = 0
    for indices in product(*(range(size) for size in chunk.sizes[:split])):
        begin = base + sum(index * stride for index, stride in zip(indices, strides, strict=False))
        target[begin : begin + run] = content[at : at + run]
        at += run


class Undoing:
    """A container whose tensors are put together from records of several archives, each of which can be put right."""

    def __init__(self) -> None:
        self._flips: dict[str, tuple[int, int]] = {}

    def undo(self, record: str, byte: int, bit: int) -> None:
        """Hands out a record from now on with one bit flipped back.

        Args:
            record: As `checksums` names it.
            byte: Within the record.
            bit: Within the byte.
        """
        self._flips[record] = (byte, bit)

    def _undone(self, content: memoryview, front: str, container: Container, storage: Storage) -> memoryview:
        """Returns the bytes of a storage with the bit of its record flipped back, where one is to be.

        Args:
            content: The bytes as they are.
            front: What the set puts before the names of this container's records.
            container: One of the archives.
            storage: One of its storages.
        """
        sums: Iterable[Checksum] = getattr(container, "checksums", tuple)() if self._flips else ()
        place = next((self._flips.get(front + row.record) for row in sums if row.storage == storage.name), None)
        if place is None or place[0] >= len(content):
            return content
        whole = bytearray(content)
        whole[place[0]] ^= 1 << place[1]
        return memoryview(whole)
