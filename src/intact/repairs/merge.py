"""Put several tensors into one: side by side along a dimension, or stacked along a new one. Bits stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo

Recipe: TypeAlias = "str | tuple[str, tuple[Recipe, ...]]"
"""A key, or how to put parts together (`cat` along the first dimension, `stack` along a new first one) and the parts."""

DEPTH_LIMIT = 8
"""Deepest nesting of recipes that a plan may have; experts of gate and up take two."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Makes tensors of others, which are gone afterwards.

    Attributes:
        made: New key and what it is made of.
        lossless: Whether the evidence leaves no other order of the parts.
    """

    made: tuple[tuple[str, Recipe], ...]
    kind: str = "merge"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the parts gone and what is made of them in the place of the first part."""
        new = {next(keys_of(recipe)): _merged(key, recipe, found) for key, recipe in self.made}
        gone = {key for _, recipe in self.made for key in keys_of(recipe)}
        tensors: dict[str, TensorInfo] = {}
        for key, tensor in found.tensors.items():
            if key in new:
                tensors[new[key].key] = new[key]
            elif key not in gone:
                tensors[key] = tensor
        ties = (tuple(key for key in group if key not in gone) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the parts put together."""
        new = {next(keys_of(recipe)): (key, _put_together(recipe, values)) for key, recipe in self.made}
        gone = {key for _, recipe in self.made for key in keys_of(recipe)}
        result: dict[str, Any] = {}
        for key, value in values.items():
            if key in new:
                result[new[key][0]] = new[key][1]
            elif key not in gone:
                result[key] = value
        return result

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "made": {key: _plain(recipe) for key, recipe in self.made}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Merge:
        """Returns the step that `to_dict` wrote."""
        made = tuple((str(key), _recipe(plain, 0)) for key, plain in data["made"].items())
        if not isinstance(data["lossless"], bool):
            raise TypeError("`lossless` must be true or false")
        return cls(made, lossless=data["lossless"])


def keys_of(recipe: Recipe) -> Iterator[str]:
    """Yields the keys of all parts, in order."""
    if isinstance(recipe, str):
        yield recipe
    else:
        for part in recipe[1]:
            yield from keys_of(part)


def shape_of(recipe: Recipe, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the shape of what a recipe makes.

    Raises:
        ValueError: The parts do not fit together.
    """
    if isinstance(recipe, str):
        return shapes[recipe]
    how, parts = recipe
    inner = [shape_of(part, shapes) for part in parts]
    if how == "stack":
        if len(set(inner)) != 1:
            raise ValueError("only tensors of one shape can be stacked")
        return (len(inner), *inner[0])
    if len({shape[1:] for shape in inner}) != 1 or not all(inner):
        raise ValueError("tensors that differ beyond their first dimension cannot be put side by side")
    return (sum(shape[0] for shape in inner), *inner[0][1:])


def _merged(key: str, recipe: Recipe, found: Description) -> TensorInfo:
    keys = list(keys_of(recipe))
    first = found.tensors[keys[0]]
    if len({found.tensors[part].dtype for part in keys}) != 1:
        raise ValueError("parts of different dtypes cannot be put together")
    shape = shape_of(recipe, {part: found.tensors[part].shape for part in keys})
    sources = tuple(source for part in keys for source in found.tensors[part].sources)
    return replace(first.moved(key), shape=shape, parts=sources)


def _put_together(recipe: Recipe, values: Values) -> Any:
    import torch

    if isinstance(recipe, str):
        return values[recipe]
    how, parts = recipe
    inner = [_put_together(part, values) for part in parts]
    return torch.stack(inner) if how == "stack" else torch.cat(inner)


def _plain(recipe: Recipe) -> Any:
    return recipe if isinstance(recipe, str) else {recipe[0]: [_plain(part) for part in recipe[1]]}


def _recipe(plain: Any, depth: int) -> Recipe:
    if isinstance(plain, str):
        return plain
    if depth > DEPTH_LIMIT or not isinstance(plain, Mapping) or len(plain) != 1:
        raise TypeError("a recipe must be a key, or one of `cat` and `stack` with its parts")
    ((how, parts),) = plain.items()
    if how not in ("cat", "stack") or not isinstance(parts, list) or not parts:
        raise TypeError("a recipe must be a key, or one of `cat` and `stack` with its parts")
    return (how, tuple(_recipe(part, depth + 1) for part in parts))
