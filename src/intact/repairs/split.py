"""Take one tensor apart along its first dimension. Bits stay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Split:
    """Makes several tensors of one, which is gone afterwards.

    Attributes:
        parts: Key found, and for each part its key and its shape; the parts stand one after the other along the first dimension,
            and a shape with one dimension less is one element of it, or one of the parts that make up such an element.
        lossless: Whether the evidence leaves no other order of the parts.
    """

    parts: tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...]
    kind: str = "split"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the parts in the place of the whole."""
        rows = dict(self.parts)
        tensors: dict[str, TensorInfo] = {}
        for key, tensor in found.tensors.items():
            for new, shape in rows.get(key, ()):
                tensors[new] = replace(tensor.moved(new), shape=shape)
            if key in rows:
                _check(tensor.shape, [shape for _, shape in rows[key]])
            else:
                tensors[key] = tensor
        ties = (tuple(key for key in group if key not in rows) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the wholes taken apart."""
        rows = dict(self.parts)
        result: dict[str, Any] = {}
        for key, value in values.items():
            begin, flat = 0, value.reshape(-1) if key in rows else value
            for new, shape in rows.get(key, ()):  # parts along the first dimension, or within one element of it, are runs
                length = math.prod(shape)
                result[new] = flat[begin : begin + length].reshape(shape).clone()
                begin += length
            if key not in rows:
                result[key] = value
        return result

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        parts = {key: {new: list(shape) for new, shape in row} for key, row in self.parts}
        return {"kind": self.kind, "lossless": self.lossless, "parts": parts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Split:
        """Returns the step that `to_dict` wrote."""
        rows = data["parts"].items()
        parts = tuple((str(key), tuple((str(new), fields.shape(shape)) for new, shape in row.items())) for key, row in rows)
        return cls(parts, lossless=fields.flag(data, "lossless"))


def _check(whole: tuple[int, ...], parts: list[tuple[int, ...]]) -> None:
    element, taken, left = whole[1:], 0, 0
    for shape in parts:
        if len(shape) == len(whole) and shape[1:] == element and not left:
            taken += shape[0]
        elif shape == element and not left:
            taken += 1
        elif shape and len(shape) == len(element) and shape[1:] == element[1:]:
            left = (left or element[0]) - shape[0]
            taken += left == 0
        else:
            left = -1
        if left < 0:
            break
    if not whole or left or taken != whole[0]:
        raise ValueError("the parts do not make up the whole")
