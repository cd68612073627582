"""A file that is one of several which make up a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OneOfSet:
    """What a file's name, and an index beside it, say of the set that it belongs to.

    Attributes:
        name: Name of the file.
        number: Which one it is, from one on.
        count: How many there are.
        index: Name of the index beside it that lists them; "" where there is none.
        elsewhere: Keys that the index says are in the other files; empty without an index.
        endings: These, and what they are without one or more names in front.
    """

    name: str
    number: int
    count: int
    index: str = ""
    elsewhere: frozenset[str] = frozenset()
    endings: frozenset[str] = frozenset()

    def may_hold(self, key: str) -> bool:
        """Tells whether a key of the model is in the other files, but for a prefix on one side; perhaps, without an index."""
        if not self.index or key in self.endings:
            return True
        return any(rest in self.elsewhere for rest in endings_of(key))


def endings_of(key: str) -> Iterator[str]:
    """Yields a key, and what it is without one name in front, and without one more."""
    yield key
    while "." in key:
        key = key.partition(".")[2]
        yield key
