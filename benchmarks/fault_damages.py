"""Ways in which bytes that were written change before they are read: what `fault_sealed` does to files, and undoes.

Each way draws from a generator of random numbers, so that a seed repeats it. Damage is a place, the bytes that stand there
afterwards and the length of the file: small enough to be put back without copying the file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BLOCK_BYTES = 4096
SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are written over a file from one place on; then the file is cut, or grows.

    Attributes:
        begin: Where the first of them goes.
        content: The bytes.
        size_bytes: Length of the file afterwards.
    """

    begin: int
    content: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """One file of a checkpoint as it should be.

    Attributes:
        path: Where it is.
        content: Its bytes.
        older: The bytes of an earlier save of the same model.
        tensors: Byte range of each tensor, by key.
    """

    path: Path
    content: bytes
    older: bytes
    tensors: Mapping[str, tuple[int, int]]

    def changed(self, damage: Damage) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Returns the places of the bytes that differ, within the length of the damage."""
        before = np.frombuffer(self.content, np.uint8)[damage.begin : damage.begin + len(damage.content)]
        after = np.frombuffer(damage.content, np.uint8)[: len(before)]
        return np.flatnonzero(before != after) + damage.begin

    def put(self, damage: Damage) -> None:
        """Damages the file."""
        self._write(damage.begin, damage.content, damage.size_bytes)

    def put_back(self, damage: Damage) -> None:
        """Makes the file as it was."""
        begin, end = damage.begin, damage.begin + len(damage.content)
        if damage.size_bytes != len(self.content):
            begin, end = min(begin, damage.size_bytes), len(self.content)
        self._write(begin, self.content[begin:end], len(self.content))

    def _write(self, begin: int, content: bytes, size_bytes: int) -> None:
        with open(self.path, "r+b") as file:
            file.seek(begin)
            file.write(content)
            file.truncate(size_bytes)


Draw = Callable[[random.Random, Saved], Damage | None]


def flip(rng: random.Random, file: Saved) -> Damage | None:
    """One bit is another one."""
    at = rng.randrange(len(file.content))
    return Damage(at, bytes([file.content[at] ^ 1 << rng.randrange(8)]), len(file.content))


def zeroed(size_bytes: int) -> Draw:
    """A block of a disk was never written."""

    def draw(rng: random.Random, file: Saved) -> Damage | None:
        begin, end = _block(rng, file, size_bytes)
        return Damage(begin, bytes(end - begin), len(file.content))

    return draw


def truncated(rng: random.Random, file: Saved) -> Damage | None:
    """The end is missing."""
    return Damage(0, b"", rng.randrange(len(file.content)))


def doubled(rng: random.Random, file: Saved) -> Damage | None:
    """A block was written twice, and what follows moved on."""
    begin, end = _block(rng, file, BLOCK_BYTES)
    return Damage(end, file.content[begin:], len(file.content) + end - begin)


def swapped(rng: random.Random, file: Saved) -> Damage | None:
    """Two blocks stand in each other's place."""
    blocks = len(file.content) // BLOCK_BYTES
    if blocks < 2:
        return None
    first, second = sorted(rng.sample(range(blocks), 2))
    a, b = first * BLOCK_BYTES, second * BLOCK_BYTES
    content = bytearray(file.content[a : b + BLOCK_BYTES])
    content[:BLOCK_BYTES], content[-BLOCK_BYTES:] = content[-BLOCK_BYTES:], content[:BLOCK_BYTES]
    return Damage(a, bytes(content), len(file.content))


def misdirected(rng: random.Random, file: Saved) -> Damage | None:
    """A block was written in the place of another one."""
    blocks = len(file.content) // BLOCK_BYTES
    if blocks < 2:
        return None
    source, target = (number * BLOCK_BYTES for number in rng.sample(range(blocks), 2))
    return Damage(target, file.content[source : source + BLOCK_BYTES], len(file.content))


def stale(rng: random.Random, file: Saved) -> Damage | None:
    """A block is still that of the save before."""
    begin, end = _block(rng, file, BLOCK_BYTES)
    content = file.older[begin:end]
    return Damage(begin, content, len(file.content)) if len(content) == end - begin else None


def stale_file(_: random.Random, file: Saved) -> Damage | None:
    """A whole file of a set is that of the save before."""
    return Damage(0, file.older, len(file.older))


def _block(rng: random.Random, file: Saved, size_bytes: int = BLOCK_BYTES) -> tuple[int, int]:
    begin = rng.randrange(-(-len(file.content) // size_bytes)) * size_bytes
    return begin, min(begin + size_bytes, len(file.content))


KINDS: dict[str, Draw] = {
    "one bit flipped": flip,
    "512 bytes zeroed": zeroed(SECTOR_BYTES),
    "4 KiB zeroed": zeroed(BLOCK_BYTES),
    "truncated": truncated,
    "block doubled": doubled,
    "two blocks swapped": swapped,
    "block misdirected": misdirected,
    "block of an older save": stale,
}
WHOLE_FILE = "file of an older save"
WEIGHTS = {"block doubled": 2, "truncated": 3, WHOLE_FILE: 1}
"""How often a kind is drawn; 5 where nothing is said. Moving megabytes for each case takes time and teaches little."""
