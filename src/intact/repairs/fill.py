"""Add tensors whose value is known without the file, such as counters that a format did not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Fill:
    """Adds constant tensors.

    Attributes:
        tensors: Key, dtype and shape of each.
        value: The number every element gets.
    """

    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    value: int = 0
    kind: str = "fill"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the added tensors."""
        added = {key: TensorInfo(key, dtype, shape, role="buffer") for key, dtype, shape in self.tensors}
        return replace(found, tensors={**found.tensors, **added})

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the added tensors."""
        import torch

        added = {key: torch.full(shape, self.value, dtype=getattr(torch, dtype)) for key, dtype, shape in self.tensors}
        return {**values, **added}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        rows = {key: {"dtype": dtype, "shape": list(shape)} for key, dtype, shape in self.tensors}
        return {"kind": self.kind, "lossless": True, "tensors": rows, "value": self.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fill:
        """Returns the step that `to_dict` wrote."""
        rows = tuple((str(key), fields.text(row, "dtype"), fields.shape(row["shape"])) for key, row in data["tensors"].items())
        return cls(rows, int(data["value"]))
