"""Give tensors another shape over the same elements in the same order. Bits stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields
from intact.repairs.ties import regrouped


@dataclass(frozen=True, slots=True)
class Reshape:
    """Reads the elements of tensors, in row-major order, as another shape.

    Attributes:
        shapes: Key and new shape of each.
        lossless: Whether only dimensions of one element come or go, so that nothing can be meant otherwise.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    kind: str = "reshape"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the new shapes."""
        new = {key: replace(found.tensors[key], shape=shape) for key, shape in self.shapes}
        shapes = dict(self.shapes)
        tensors = {key: new.get(key, tensor) for key, tensor in found.tensors.items()}
        return replace(found, tensors=tensors, ties=regrouped(found.ties, shapes.get))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values in the new shapes, each once where several keys share it."""
        new = {(id(values[key]), shape): values[key].reshape(shape) for key, shape in self.shapes}
        shapes = dict(self.shapes)
        return {key: new[(id(value), shapes[key])] if key in shapes else value for key, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "shapes": {key: list(shape) for key, shape in self.shapes}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reshape:
        """Returns the step that `to_dict` wrote."""
        rows = tuple((str(key), fields.shape(shape)) for key, shape in data["shapes"].items())
        return cls(rows, lossless=fields.flag(data, "lossless"))
