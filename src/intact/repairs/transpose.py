"""Turn matrices round: rows become columns. Bits stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields
from intact.repairs.ties import regrouped


@dataclass(frozen=True, slots=True)
class Transpose:
    """Swaps the two dimensions of matrices.

    Attributes:
        keys: The matrices.
        lossless: Whether the evidence leaves no doubt that they are stored the other way round; a square one fits either way.
    """

    keys: tuple[str, ...]
    kind: str = "transpose"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the sizes swapped."""
        turned = {key: replace(found.tensors[key], shape=found.tensors[key].shape[::-1]) for key in self.keys}
        tensors = {key: turned.get(key, tensor) for key, tensor in found.tensors.items()}
        return replace(found, tensors=tensors, ties=regrouped(found.ties, lambda key: key in turned))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the matrices turned round, each once where several keys share it."""
        turned = {id(values[key]): values[key].t().contiguous() for key in self.keys}
        keys = frozenset(self.keys)
        return {key: turned[id(value)] if key in keys else value for key, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "keys": list(self.keys)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transpose:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.texts(data, "keys"), lossless=fields.flag(data, "lossless"))
