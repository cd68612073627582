"""What the shards of a set say beside their tensors, as one: each entry once, each name once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from intact.containers.shard_index import Index
from intact.core.description import Description, Extra, ForeignName


def merged_extras(index: Index, descriptions: Mapping[str, Description]) -> tuple[Extra, ...]:
    """Returns the entries of all shards: once where they are equal everywhere, otherwise with the shard's name in front."""
    texts: dict[str, set[str]] = {}
    for description in descriptions.values():
        for extra in description.extras:
            texts.setdefault(extra.path, set()).add(extra.text)
    merged = {f"index.metadata.{name}": Extra(f"index.metadata.{name}", "str", text) for name, text in index.metadata.items()}
    for name, description in descriptions.items():
        for extra in description.extras:
            path = extra.path if len(texts[extra.path]) == 1 else f"{name}: {extra.path}"
            merged.setdefault(path, replace(extra, path=path))
    return tuple(merged.values())


def merged_names(names: Iterable[ForeignName]) -> tuple[ForeignName, ...]:
    """Returns the names that pickles refer to, each once, with all its references."""
    merged: dict[str, ForeignName] = {}
    for name in names:
        known = merged.get(name.name)
        merged[name.name] = (
            replace(known, count=known.count + name.count, called=known.called or name.called) if known is not None else name
        )
    return tuple(merged.values())
