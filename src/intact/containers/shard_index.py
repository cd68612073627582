"""The index file of a sharded set: which key should be in which shard, as text that anybody may have written.

Names of shards must stay inside the folder of the index as they are written: relative, without a step upwards. Whether such a
name is a link is not asked, because the cache of a hub keeps every file of a snapshot as a link to a blob outside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from intact.containers.json_members import decoder, members
from intact.containers.sealed import (
    INDEX_BEGIN,
    carried_along,
    claims,
    header_changed,
    is_own,
    is_unchanged,
    malformed,
    manifest_of,
    problem_of_keys,
)
from intact.containers.shown import listed, shown, shown_list
from intact.core.lost import Lost
from intact.core.manifest import NAMES, Manifest
from intact.errors import CannotRead, Damaged, IntactError
from intact.files.reading import BoundedFile

INDEX_SUFFIX = ".index.json"

INDEX_LIMIT_BYTES = 1 << 27
"""Largest index that is read; one of 100,000 keys takes about 10 MB."""

SHARDS_LIMIT = 10_000
"""Most shards of a set; the largest published models have a few hundred."""

SHARD_NAME = re.compile(r"^.*-\d{2,6}-of-\d{2,6}(\.\w+)$", re.DOTALL)
"""What shards are called by those who save them: `model-00001-of-00004.safetensors`."""

NAME_LIMIT = 1_024
"""Characters of a shard's name, path included."""

_texts = decoder(dict[str, str])
_text = decoder(str)
_scalar = decoder(str | int | float)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Index:
    """What an index file says.

    Attributes:
        path: The index file; shards are named relative to its folder.
        size_bytes: Of the index file.
        home: Key to name of the shard that should hold it, without `./` and the like.
        metadata: Its plain facts, as text.
        manifest: What was sealed with the set; None where it is not.
        notes: What is irregular about its seal.
    """

    path: Path
    size_bytes: int
    home: Mapping[str, str]
    metadata: Mapping[str, str]
    manifest: Manifest | None = None
    notes: tuple[IntactError, ...] = ()


def is_index(file: BoundedFile) -> bool:
    """Tells whether a file is a JSON document that maps keys to shards."""
    if not file.head(256).lstrip().startswith(b"{") or file.size_bytes > INDEX_LIMIT_BYTES:
        return False
    return file.path.name.endswith(INDEX_SUFFIX) or maps_keys(file)


def maps_keys(file: BoundedFile) -> bool:
    """Tells whether there is a map of keys to shards in a file, whatever its name."""
    return re.search(rb'"weight_map"\s*:\s*\{', file.view(0, file.size_bytes)) is not None


def read_index(file: BoundedFile, lost: Lost | None = None) -> Index:
    """Returns what an index file says, checked for form and for names that lead out of the folder.

    Args:
        file: The index.
        lost: Takes the keys whose shard would be outside the folder; an error tells of them without it.

    Raises:
        Damaged: It is not valid (`file/bad-header`).
        CannotRead: A name leads out of the folder (`safety/path-traversal`).
    """
    try:
        raw = members(file.view(0, file.size_bytes))
        if "weight_map" not in raw:
            raise ValueError("it has no `weight_map`")
        members(raw["weight_map"])
        home = _texts(raw["weight_map"])
        names = _checked_names(home.values())
    except ValueError as error:
        raise Damaged(
            f"the index is not valid: {error}",
            code="file/bad-header",
            path=str(file.path),
            evidence={"size_bytes": file.size_bytes},
            help="fetch the index again; without it, name the shards one by one",
        ) from None
    if lost is None:
        _refuse_leading_out(file.path, names)
    outside = set(leading_out(names)) if lost is not None else set()
    if lost is not None:
        lost.keys.update(
            (key, f"the index places it outside the folder: `{shown(n)}`") for key, n in home.items() if n in outside
        )
    normal = {name: str(PurePosixPath(name)) for name in names}
    placed = {key: normal[name] for key, name in home.items() if name not in outside}
    facts = _facts(raw.get("metadata"))
    if not claims(facts):
        return Index(file.path, file.size_bytes, placed, facts)
    return _sealed_index(file, placed, facts, _all_texts(raw["metadata"]))


def _sealed_index(file: BoundedFile, home: Mapping[str, str], facts: Mapping[str, str], metadata: Mapping[str, str]) -> Index:
    """Returns a sealed index, held against its own digest.

    Raises:
        Damaged: It is not the one that was sealed (`file/checksum-mismatch`).
    """
    own = {name: text for name, text in facts.items() if name not in NAMES}
    content = file.view(0, file.size_bytes)
    if not is_own(content, INDEX_BEGIN):
        return Index(file.path, file.size_bytes, home, own, None, carried_along(file, metadata))
    if not is_unchanged(content, len(INDEX_BEGIN)):
        raise header_changed(file, "index")
    manifest = manifest_of(file, metadata)
    if problem := problem_of_keys(manifest, home):
        raise malformed(file, problem)
    plain = {name: text for name, text in own.items() if name not in manifest.aliases}
    return Index(file.path, file.size_bytes, home, plain, manifest)


def _checked_names(names: Iterable[str]) -> set[str]:
    distinct = set(names)
    if not distinct:
        raise ValueError("its `weight_map` is empty")
    if len(distinct) > SHARDS_LIMIT:
        raise ValueError(f"it names {len(distinct):,} shards, and {SHARDS_LIMIT:,} are the limit")
    if any(not 0 < len(name) <= NAME_LIMIT for name in distinct):
        raise ValueError(f"the name of a shard is empty or longer than {NAME_LIMIT:,} characters")
    return distinct


def _refuse_leading_out(path: Path, names: Iterable[str]) -> None:
    outside = leading_out(names)
    if not outside:
        return
    raise CannotRead(
        f"the index leads out of its folder: {listed(outside)}",
        code="safety/path-traversal",
        path=str(path),
        evidence={"names": shown_list(outside), "name_count": len(outside)},
        help="do not use this checkpoint before you know who wrote the index; shards belong beside it",
    )


def leading_out(names: Iterable[str]) -> list[str]:
    """Returns the names that lead out of the folder they are relative to, or that no file can have."""
    return sorted(name for name in names if len(name) > NAME_LIMIT or not _stays_inside(name))


def _stays_inside(name: str) -> bool:
    """Judges the name as text: no root, no step upwards, nothing that another system takes for a drive or a separator."""
    path = PurePosixPath(name)
    plain = not (set(name) & set("\\\0") or re.match(r"[A-Za-z]:", name))
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _all_texts(raw: msgspec.Raw) -> dict[str, str]:
    """Returns the members of `metadata` that are texts, whole."""
    texts: dict[str, str] = {}
    for name, value in members(raw).items():
        with suppress(ValueError):
            texts[name] = _text(value)
    return texts


def _facts(raw: msgspec.Raw | None) -> Mapping[str, str]:
    """Returns the members of `metadata` that are single values; every reader ignores what it does not know there."""
    facts: dict[str, str] = {}
    try:
        pairs = members(raw) if raw is not None else {}
    except ValueError:
        return facts
    for name, value in pairs.items():
        try:
            facts[name] = shown(str(_scalar(value)))
        except ValueError:  # noqa: PERF203 - a nested value is no plain fact
            continue
    return facts
