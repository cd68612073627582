"""Keys that differ in the numbers of their layers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)")


def pattern_of(key: str) -> str:
    """Returns a key without the numbers of its layers (`blocks.{}.fc.weight`)."""
    return _NUMBER.sub("{}", key)


def by_pattern(keys: Iterable[str]) -> dict[str, list[str]]:
    """Returns keys by what they are without the numbers of their layers (`blocks.{}.fc.weight`); none without one."""
    found: dict[str, list[str]] = {}
    for key in keys:
        pattern = pattern_of(key)
        if pattern != key:
            found.setdefault(pattern, []).append(key)
    return found
