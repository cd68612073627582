"""Plain attributes that are too large for hyperparameters: vocabularies, class names, code books, by digest and first entries."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from intact.core.entries import NoForm, encode
from intact.core.probe import Table
from intact.files.digests import digest
from intact.model.hyperparameters import CONFIGURATIONS, MOST_ITEMS
from intact.model.state import modules_of, short

if TYPE_CHECKING:
    import torch

MOST_ENTRIES = 500_000
"""Entries of one attribute; the largest vocabularies have about that many."""

MOST_TABLES = 64
"""Attributes that are kept of one model."""

SHOWN = 8
"""First entries that are kept as text."""

_KINDS: tuple[type, ...] = (dict, OrderedDict, list, tuple, set, frozenset)
_OURS = frozenset({"_parameters", "_buffers", "_modules"})


def tables_of(model: torch.nn.Module) -> tuple[Table, ...]:
    """Returns the large plain attributes of a model's modules."""
    return tuple(islice(_tables(model), MOST_TABLES))


def _tables(model: torch.nn.Module) -> Iterator[Table]:
    seen: set[int] = set()
    for path, module in modules_of(model):
        for name, value in _attributes(module, seen):
            if type(value) not in _KINDS or id(value) in seen:
                continue
            seen.add(id(value))
            large = isinstance(value, dict | set | frozenset) or len(value) > MOST_ITEMS
            if large and 0 < len(value) <= MOST_ENTRIES and (made := _table(path, name, value)) is not None:
                yield made


def _attributes(module: torch.nn.Module, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yields plain attributes, and those of a configuration, each configuration once."""
    for name, value in vars(module).items():
        if name[0:1] == "_":
            continue
        yield name, value
        if name in CONFIGURATIONS and id(value) not in seen and not isinstance(value, _KINDS):
            seen.add(id(value))
            held = getattr(value, "__dict__", None)
            yield from (
                ((f"{name}.{key}", entry) for key, entry in held.items() if key[0:1] != "_") if isinstance(held, dict) else ()
            )


def _table(path: str, name: str, value: Any) -> Table | None:
    import msgspec

    items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    if "." in name and isinstance(value, dict):  # of a configuration: the order of its entries says nothing
        items = dict(sorted(value.items(), key=repr))
    try:
        content = msgspec.json.encode(encode(items if isinstance(items, dict) else list(items), _nothing, name))
    except NoForm:
        return None  # objects: what they are is not known
    rows = items.items() if isinstance(items, dict) else items
    head = tuple(short(_row(row, isinstance(items, dict)), 60) for row in islice(rows, SHOWN))
    return Table(path, name, type(value).__name__, len(value), base64.b64encode(digest(content)).decode().rstrip("="), head)


def _nothing(value: Any) -> None:
    """Tensors are no part of a table."""
    del value


def _row(row: Any, pair: bool) -> str:
    return f"{row[0]!r}: {row[1]!r}" if pair else repr(row)
