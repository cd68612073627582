"""Whether the file that was given is one of a set: its name tells, and the index beside it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from intact.containers.shard_index import INDEX_LIMIT_BYTES, INDEX_SUFFIX, SHARD_NAME, read_index
from intact.core.keys import is_ordinary
from intact.core.one_of_set import OneOfSet, endings_of
from intact.errors import IntactError
from intact.files.reading import BoundedFile

_NUMBERS = re.compile(r"-(\d{2,6})-of-(\d{2,6})\.\w+$")

INDEXES_LIMIT = 8
"""Indexes of a folder that are looked into."""


def one_of_set(path: str) -> OneOfSet | None:
    """Returns the set that a file is one of, None where it is none of one.

    Args:
        path: As the user gave it.
    """
    place = Path(path)
    numbers = _NUMBERS.search(place.name)
    if numbers is None or not SHARD_NAME.fullmatch(place.name) or int(numbers[2]) < 2 or not place.is_file():
        return None
    for name in _indexes(place.parent):
        with suppress(IntactError, OSError), BoundedFile(place.parent / name) as file:
            home = read_index(file).home
            if place.name in home.values():
                shards = sorted(set(home.values()))
                others = frozenset(key for key, shard in home.items() if shard != place.name)
                endings = frozenset(rest for key in others if is_ordinary(key) for rest in endings_of(key))
                return OneOfSet(place.name, shards.index(place.name) + 1, len(shards), name, others, endings)
    return OneOfSet(place.name, int(numbers[1]), int(numbers[2]))


def _indexes(folder: Path) -> list[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        indexes = [entry for entry in entries if entry.name.endswith(INDEX_SUFFIX) and entry.is_file()]
        return sorted(entry.name for entry in indexes if entry.stat().st_size <= INDEX_LIMIT_BYTES)[:INDEXES_LIMIT]
    return []
