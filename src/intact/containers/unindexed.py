"""Sets of shards whose index is not there, put together by their names: `model-00001-of-00004.safetensors` and its kind."""

from __future__ import annotations

import os
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from intact.containers.shard_index import SHARDS_LIMIT, Index
from intact.containers.sharded import ShardedContainer
from intact.containers.shown import listed, shown, shown_list
from intact.core.remark import Remark
from intact.core.wording import count
from intact.errors import Damaged

_NAMED = re.compile(r"(.*)-(\d{2,6})-of-(\d{2,6})(\.\w+)", re.DOTALL)
_SEALED = re.compile(r".*-[0-9a-f]{12}", re.DOTALL)


def set_of(folder: Path, name: str) -> tuple[list[str], list[str]] | None:
    """Returns the shards that belong to one by their names, and those of them that are not there; None where it is no such name.

    Args:
        folder: Where it lies.
        name: A file (`model-00001-of-00004.safetensors`); those of sealed sets have their own index to tell.
    """
    match = _NAMED.fullmatch(name)
    if match is None or _SEALED.fullmatch(match[1]) or not 2 <= int(match[3]) <= SHARDS_LIMIT:
        return None
    digits, total = len(match[2]), int(match[3])
    first = 0 if (folder / f"{match[1]}-{0:0{digits}}-of-{match[3]}{match[4]}").exists() else 1
    names = [f"{match[1]}-{number:0{digits}}-of-{match[3]}{match[4]}" for number in range(first, first + total)]
    return names, [other for other in names if not os.path.isfile(folder / other)]


def open_named(folder: Path, names: list[str], absent: list[str]) -> ShardedContainer:
    """Returns a set whose index is not there, by the names of its shards.

    Args:
        folder: Where they lie.
        names: All of them.
        absent: Those that are not there.

    Raises:
        CannotRead: One cannot be read.
        Damaged: Some are missing (`file/missing-shard`).
    """
    from intact.containers import open_single  # which knows this module

    if absent:
        raise Damaged(
            f"{len(absent)} of {count(len(names), 'shard')} {'is' if len(absent) == 1 else 'are'} missing: {listed(absent)}, by "
            "the names of the others; there is no index to say what they hold",
            code="file/missing-shard",
            path=str(folder),
            evidence={"missing": shown_list(absent), "missing_count": len(absent), "shard_count": len(names)},
            help="fetch the missing files into the same folder; an interrupted download can be continued",
        )
    home: dict[str, str] = {}
    twice: dict[str, str] = {}
    for name in names:
        with closing(open_single(folder / name)) as shard:
            for key in shard.describe().tensors:
                if home.setdefault(key, name) != name:
                    twice[key] = name
    container = ShardedContainer(Index(folder / names[0], 0, home, {}))
    container.source = replace(container.source, path=str(folder), files=tuple(names))
    said = Remark(
        "file/index-mismatch",
        f"{len(names)} shards stand there without an index; they are taken for one set by their names",
        "info",
        evidence={"shards": shown_list(names)},
        cause="the index was not copied, or the program that wrote the set writes none",
        help="to have one file, write it anew: intact convert FOLDER NEW.safetensors",
    )
    container.remarks = (*container.remarks, said, *([_held_twice(home, twice)] if twice else []))
    return container


def _held_twice(home: dict[str, str], twice: dict[str, str]) -> Remark:
    """What is to be said of keys that two shards hold, where no index says which is meant."""
    key, again = next(iter(twice.items()))
    return Remark(
        "file/mixed-shards",
        f"{count(len(twice), 'key')} {'stands' if len(twice) == 1 else 'stand'} in two shards, as `{shown(key)}` in "
        f"{listed((home[key], again))}; the first is read, and no index says which is meant",
        "warning",
        tuple(twice),
        {"keys": shown_list(twice), "key_count": len(twice)},
        "files of two saves lie in one folder",
        "fetch or copy all files of one save",
    )
