"""Fields of steps as they come from plain data: checked for their types, because a plan may have been edited by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(data: Mapping[str, Any], name: str) -> str:
    """Returns a string field."""
    value = data[name]
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string")
    return value


def flag(data: Mapping[str, Any], name: str) -> bool:
    """Returns a boolean field."""
    value = data[name]
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be true or false")
    return value


def texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Returns a list of strings."""
    value = data[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"`{name}` must be a list of strings")
    return tuple(value)


def text_pairs(data: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    """Returns a mapping of strings as pairs, in order."""
    value = data[name]
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise TypeError(f"`{name}` must map strings to strings")
    return tuple(value.items())


def shapes(data: Mapping[str, Any], name: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Returns a mapping of keys to shapes as pairs, in order."""
    value = data[name]
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must map keys to shapes")
    return tuple((str(key), shape(sizes)) for key, sizes in value.items())


def shape(value: object) -> tuple[int, ...]:
    """Returns a shape: whole numbers, none negative."""
    if not isinstance(value, list) or not all(isinstance(size, int) and size >= 0 for size in value):
        raise TypeError("a shape must be a list of whole numbers, none negative")
    return tuple(value)
