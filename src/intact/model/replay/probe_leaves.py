"""The tensors within whatever a model is given or gives, each under the name by which its user would ask for it.

Tuples, lists, mappings, dataclasses and named tuples are looked into everywhere; of what the model as a whole returns, attributes
of other objects as well, because caches and distributions are such. Everything is bounded: an output may contain itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST_LEAVES = 256
"""Leaves of one value; the outputs of deep models have a tensor for each layer and head."""

DEEPEST = 8

PLAIN = (bool, int, float, complex, str, bytes)


def tensors_in(value: Any) -> dict[str, torch.Tensor]:
    """Returns the tensors of an input or output by name; objects of other classes are not looked into."""
    import torch

    return {name: leaf for name, leaf in leaves_of(value) if isinstance(leaf, torch.Tensor)}


def leaves_of(value: Any, *, objects: bool = False) -> Iterator[tuple[str, Any]]:
    """Yields name and leaf: tensors, numbers and texts.

    Args:
        value: Whatever a model is given or gives.
        objects: Whether attributes of other objects are looked into.
    """
    for number, pair in enumerate(_walk("", value, objects, 0, set())):
        if number >= MOST_LEAVES:
            return
        yield pair


def _walk(name: str, value: Any, objects: bool, depth: int, above: set[int]) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(value, (torch.Tensor, *PLAIN)):
        yield name, value
        return
    if value is None or depth >= DEEPEST or id(value) in above:
        return
    above.add(id(value))
    for part, member in _members(value, objects):
        inner = name + part if part[0:1] == "[" else f"{name}.{part}" if name else part
        yield from _walk(inner, member, objects, depth + 1, above)
    above.discard(id(value))


def _members(value: Any, objects: bool) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), member) for key, member in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=False))
    if isinstance(value, list | tuple):
        return [(f"[{number}]", member) for number, member in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    held = getattr(value, "__dict__", None) if objects and not isinstance(value, type) and not callable(value) else None
    return [(name, member) for name, member in held.items() if name[0:1] != "_"] if isinstance(held, dict) else []
