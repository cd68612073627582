"""Leave the model's own values where the file has none that fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Keep:
    """Takes tensors from the model instead of the file: what they hold is whatever the model was built with.

    Attributes:
        tensors: Key, dtype and shape of each, as the model has them.
    """

    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    kind: str = "keep"
    lossless: bool = False

    def predict(self, found: Description) -> Description:
        """Returns the description with the model's tensors in place."""
        kept = {key: TensorInfo(key, dtype, shape) for key, dtype, shape in self.tensors}
        ties = (tuple(key for key in group if key not in kept) for group in found.ties)
        return replace(found, tensors={**found.tensors, **kept}, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values with copies of the model's tensors in place."""
        return {**values, **{key: target[key].detach().clone() for key, _, _ in self.tensors}}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        rows = {key: {"dtype": dtype, "shape": list(shape)} for key, dtype, shape in self.tensors}
        return {"kind": self.kind, "lossless": False, "tensors": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Keep:
        """Returns the step that `to_dict` wrote."""
        return cls(tuple((str(k), fields.text(row, "dtype"), fields.shape(row["shape"])) for k, row in data["tensors"].items()))
