"""What a checkpoint says about how its model was built: arguments beside the weights, a configuration file next to them.

They are evidence and never more, so everything is bounded: names, numbers, short texts and short sequences are taken, a few
levels deep; state of optimizers and the like is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from intact.core.container import Container, Foreign
from intact.core.description import Plain
from intact.errors import IntactError
from intact.files.reading import BoundedFile

Settings = Mapping[str, Mapping[str, Plain]]
"""Where they stand (`hyper_parameters`, `config.json`) to their dotted names and values."""

FILES = ("config.json", "adapter_config.json", "model_config.json", "hparams.json")
FILE_LIMIT_BYTES = 1 << 20
ENTRIES_LIMIT = 2000
VISITS_LIMIT = 20_000
"""Entries looked at in all, whatever shares whatever."""
DEPTH_LIMIT = 4
ITEMS_LIMIT = 64
TEXT_LIMIT = 200
NUMBER_LIMIT_BITS = 64

_ELSEWHERE = ("optim", "sched", "callback", "loop", "scaler", "rng", "state_dict", "param_groups", "_io", "history", "metric")
"""Words in the names of entries that are about the run and not about the model."""
_ABSENT = object()


def settings_of(container: Container) -> Settings:
    """Returns what stands in a checkpoint and beside it.

    Args:
        container: An open checkpoint.
    """
    found: dict[str, Mapping[str, Plain]] = {}
    try:
        objects = container.objects()
    except IntactError:
        objects = None
    if isinstance(objects, Mapping):
        alone = {name: plain for name, value in _entries(objects) if (plain := _plain(value)) is not _ABSENT}
        found.update({"": alone} if alone else {})
        visits = iter(range(VISITS_LIMIT))
        for name, value in _entries(objects):
            if (inner := _inside(value)) is not None and (rows := dict(_flat(inner, "", 0, visits))):
                found[name] = rows
    found.update(_beside(container.source.path))
    return found


def _entries(mapping: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in islice(mapping.items(), ENTRIES_LIMIT):
        if isinstance(name, str) and 0 < len(name) <= TEXT_LIMIT and not any(word in name.lower() for word in _ELSEWHERE):
            yield name, value


def _inside(value: Any) -> Mapping[Any, Any] | None:
    """The mapping that a value is, or that an object's attributes or items are."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Foreign):
        for held in (value.state, value.items):
            if isinstance(held, Mapping) and held:
                return held
    return None


def _flat(mapping: Mapping[Any, Any], prefix: str, depth: int, visits: Iterator[int]) -> Iterator[tuple[str, Plain]]:
    """Yields what is plain; one mapping may stand in many places, so that the visits are counted and not the mappings."""
    for name, value in _entries(mapping):
        if next(visits, None) is None:
            return
        if (plain := _plain(value)) is not _ABSENT:
            yield prefix + name, plain
        elif depth < DEPTH_LIMIT and (inner := _inside(value)) is not None:
            yield from _flat(inner, f"{prefix}{name}.", depth + 1, visits)


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= NUMBER_LIMIT_BITS else _ABSENT
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else _ABSENT
    if isinstance(value, list | tuple) and len(value) <= ITEMS_LIMIT and depth < 3:
        items = tuple(_plain(item, depth + 1) for item in value)
        return _ABSENT if any(item is _ABSENT for item in items) else items
    return _ABSENT


def _beside(path: str) -> Iterator[tuple[str, Mapping[str, Plain]]]:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    for name in FILES:
        file = os.path.join(folder, name)
        if os.path.abspath(file) == os.path.abspath(path) or not os.path.isfile(file):
            continue
        try:
            with BoundedFile(file) as opened:
                if opened.size_bytes > FILE_LIMIT_BYTES:
                    continue
                parsed = json.loads(bytes(opened.view(0, opened.size_bytes)))
        except (IntactError, ValueError, RecursionError):
            continue
        if isinstance(parsed, dict) and (rows := dict(_flat(parsed, "", 0, iter(range(VISITS_LIMIT))))):
            yield name, rows
