"""Which attributes of a module are plain values, that can be written down and set again by hand."""

from __future__ import annotations

from typing import Any

_PLAIN = (type(None), bool, int, float, str, complex)
_RESERVED = frozenset({"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "forward"})
_OF_TORCH = ("dtype", "device", "Size")

DEEPEST = 4
"""Nesting of lists and mappings; deeper ones are configurations, which are arguments."""


def is_settable(name: str, value: Any) -> bool:
    """Tells whether an attribute may be set by hand on a model that was built again."""
    return name not in _RESERVED and is_plain(value)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Tells whether a value consists of numbers, texts and the like alone."""
    cls = type(value)
    if cls in _PLAIN:
        return True
    if cls in (list, tuple, set, frozenset) and depth < DEEPEST:
        return all(is_plain(member, depth + 1) for member in value)
    if cls is dict and depth < DEEPEST:
        return all(is_plain(key, depth + 1) and is_plain(member, depth + 1) for key, member in value.items())
    return cls.__module__ == "torch" and cls.__name__ in _OF_TORCH
