"""Plain attributes of a module that are not state: the numbers, names and switches that its constructor was given.

They are evidence for a diagnosis and never more, so everything here is bounded: long texts and long sequences are left out,
and of a configuration object one level is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from intact.core.description import Plain

if TYPE_CHECKING:
    import torch

MOST_ENTRIES = 200
"""Entries taken of one configuration object; the configurations of large language models have about a hundred."""

MOST_ITEMS = 64
"""Items of a sequence, and nesting of at most three: shapes and widths, not tables."""

LONGEST_TEXT = 200
"""Characters; names of activations and modes, not documents."""

CONFIGURATIONS = frozenset({"config", "cfg", "hparams", "args", "opt", "options", "params"})
"""Attributes under which people keep what their constructor was given."""

_ABSENT = object()
_IMMEDIATE = frozenset({int, float, bool, type(None)})
_OURS = frozenset({"training", "call_super_init", "dump_patches"})

Cache = dict[int, Mapping[str, Plain]]
"""Configuration objects seen so far, by identity: hundreds of modules hold the same one."""


def hyperparameters_of(module: torch.nn.Module, cache: Cache) -> dict[str, Plain]:
    """Returns the plain attributes of a module by name, those of its configuration object as `config.name`."""
    found: dict[str, Plain] = {}
    for name, value in vars(module).items():
        if name[0:1] == "_" or name in _OURS:
            continue
        if type(value) in _IMMEDIATE:
            found[name] = value
        elif (taken := _plain(value)) is not _ABSENT:
            found[name] = taken
        elif name in CONFIGURATIONS:
            found.update((f"{name}.{key}", entry) for key, entry in _configuration(value, cache).items())
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as plain data, or `_ABSENT` for one that is none."""
    if type(value) in _IMMEDIATE:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return str(value) if len(value) <= LONGEST_TEXT else _ABSENT
    if isinstance(value, tuple | list):
        return _sequence(value, depth)
    if type(value).__name__ == "dtype" and type(value).__module__ == "torch":
        return str(value).removeprefix("torch.")
    return _ABSENT


def _sequence(value: tuple[Any, ...] | list[Any], depth: int) -> Any:
    if len(value) > MOST_ITEMS or depth >= 3:
        return _ABSENT
    items = tuple(_plain(item, depth + 1) for item in value)
    return _ABSENT if any(item is _ABSENT for item in items) else items


def _configuration(value: Any, cache: Cache) -> Mapping[str, Plain]:
    if id(value) not in cache:
        try:
            cache[id(value)] = dict(_entries(_items(value)))
        except Exception:  # noqa: BLE001 - evidence only: a configuration that cannot be read is one that is not known
            cache[id(value)] = {}
    return cache[id(value)]


def _entries(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Plain]]:
    for position, (name, value) in enumerate(items):
        if position >= MOST_ENTRIES:
            return
        if isinstance(name, str) and name[0:1] != "_" and (taken := _plain(value)) is not _ABSENT:
            yield name, taken


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    if callable(to_dict := getattr(value, "to_dict", None)) and isinstance(listed := to_dict(), Mapping):
        return listed.items()
    return getattr(value, "__dict__", {}).items()
