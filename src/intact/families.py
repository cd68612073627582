"""Keys that differ in the numbers of their layers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)")


def pattern_of(key: str) -> str:
    """Returns a key without the numbers of its layers (`blocks.{}.fc.weight`)."""
    return _NUMBER.sub("{}", key)


def patterns_of(keys: Iterable[str]) -> dict[str, str]:
    """Returns keys and their patterns; what the modules around are called is looked at once for each module."""
    fronts: dict[str, str] = {}
    found: dict[str, str] = {}
    for key in keys:
        owner, dot, leaf = key.rpartition(".")
        front = fronts.get(owner)
        if front is None:
            front = fronts[owner] = pattern_of(owner + dot)
        found[key] = front + leaf
    return found


def by_pattern(keys: Iterable[str]) -> dict[str, list[str]]:
    """Returns keys by what they are without the numbers of their layers (`blocks.{}.fc.weight`); none without one."""
    found: dict[str, list[str]] = {}
    for key in keys:
        pattern = pattern_of(key)
        if pattern != key:
            found.setdefault(pattern, []).append(key)
    return found
