"""Pruned weights that the file keeps as what they were and a mask over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Mask:
    """Makes weights of their unpruned values and their masks, as the pruned module does in every forward pass.

    Attributes:
        rows: Key of the weight, key of the unpruned values, key of the mask.
    """

    rows: tuple[tuple[str, str, str], ...]
    kind: str = "mask"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with each weight in the place of its two parts."""
        made = {whole: (key, mask) for key, whole, mask in self.rows}
        masks = {mask for _, _, mask in self.rows}
        tensors: dict[str, TensorInfo] = {}
        for name, tensor in found.tensors.items():
            if name in made:
                key, mask = made[name]
                parts = (*tensor.sources, *found.tensors[mask].sources)
                tensors[key] = replace(tensor.moved(key), parts=parts)
            elif name not in masks:
                tensors[name] = tensor
        gone = {*made, *masks}
        ties = (tuple(name for name in group if name not in gone) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with each weight in the place of its two parts."""
        made = {whole: (key, mask) for key, whole, mask in self.rows}
        masks = {mask for _, _, mask in self.rows}
        result: dict[str, Any] = {}
        for name, value in values.items():
            if name in made:
                key, mask = made[name]
                result[key] = values[mask].to(value.dtype) * value  # in torch's order
            elif name not in masks:
                result[name] = value
        return result

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "weights": {key: [whole, mask] for key, whole, mask in self.rows}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Mask:
        """Returns the step that `to_dict` wrote."""
        rows = data["weights"]
        if not isinstance(rows, Mapping) or not all(isinstance(row, list) and len(row) == 2 for row in rows.values()):
            raise TypeError("`weights` must be a mapping of keys to two keys")
        return cls(tuple((str(key), str(whole), str(mask)) for key, (whole, mask) in rows.items()))
