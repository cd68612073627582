"""Copy the part that both shapes have: the first rows of an embedding that grew or shrank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields
from intact.repairs.ties import regrouped


@dataclass(frozen=True, slots=True)
class Resize:
    """Gives tensors the model's shape: the common box from the file, the rest from the model.

    Attributes:
        shapes: Key and the shape it gets, with as many dimensions as it has.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    kind: str = "resize"
    lossless: bool = False

    def predict(self, found: Description) -> Description:
        """Returns the description with the new shapes."""
        new = dict(self.shapes)
        tensors = {key: replace(t, shape=new[key]) if key in new else t for key, t in found.tensors.items()}
        return replace(found, tensors=tensors, ties=regrouped(found.ties, new.get))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values with the new shapes, in the file's dtype; tied tensors stay one tensor.

        A key without a value is passed over: it is not read where a later step puts another tensor in its place.
        """
        resized = dict(values)
        done: dict[tuple[int, tuple[int, ...]], Any] = {}
        for key, shape in self.shapes:
            if key not in values:
                continue
            mark = (id(values[key]), shape)
            if mark not in done:
                new = target[key].detach().to(values[key].dtype, copy=True)
                box = tuple(slice(0, min(a, b)) for a, b in zip(values[key].shape, shape, strict=True))
                new[box] = values[key][box]
                done[mark] = new
            resized[key] = done[mark]
        return resized

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": False, "shapes": {key: list(shape) for key, shape in self.shapes}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Resize:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.shapes(data, "shapes"))
