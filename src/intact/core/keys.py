"""What can be read off a key as text: its tokens, its leaf, and the order in which a person expects keys."""

from __future__ import annotations

import re
from typing import Any

_DIGITS = re.compile(r"(\d{1,18})")


MOST_CHARACTERS = 512
MOST_NAMES = 48
"""What a key of a module can have; a state dict is made by recursion, and no model comes near."""


def is_ordinary(key: str) -> bool:
    """Tells whether a key can be one of a model's."""
    return len(key) < 2 * MOST_NAMES or (len(key) <= MOST_CHARACTERS and key.count(".") < MOST_NAMES)


def tokens_of(key: str) -> list[str]:
    """Returns the dotted parts of a key."""
    return key.split(".")


def leaf_of(key: str) -> str:
    """Returns the tensor's own name, without the modules around it."""
    return key.rpartition(".")[2]


def owner_of(key: str) -> str:
    """Returns the path of the module that owns a key; "" for the root."""
    return key.rpartition(".")[0]


def natural_order(key: str) -> tuple[Any, ...]:
    """Returns a sort key by which `layers.2` precedes `layers.10`: texts and numbers by turns, so that like is held to like."""
    parts: list[Any] = _DIGITS.split(key)
    parts[1::2] = map(int, parts[1::2])
    return tuple(parts)
