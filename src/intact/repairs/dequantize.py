"""Make numbers of codes and the scales that stand beside them; the scales are gone afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.core.tensor import TensorInfo
from intact.repairs import fields

SCHEMES = ("rows", "blocks", "quantized")
"""`rows`: a code times the scale of its row over 127. `blocks`: times the scale of its block, or of the tensor. `quantized`:
torch's own quantized tensors, which know their scales."""


@dataclass(frozen=True, slots=True)
class Dequantize:
    """Multiplies codes by their scales.

    Attributes:
        tensors: Key, key of the scales ("" where the tensor knows them), scheme, dtype that comes out.
        spent: Other keys that only described the codes, left out afterwards.
    """

    tensors: tuple[tuple[str, str, str, str], ...]
    spent: tuple[str, ...] = ()
    kind: str = "dequantize"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with floating tensors in place of codes, and no scales."""
        gone = {*self.spent, *(scales for _, scales, _, _ in self.tensors if scales)}
        made = {key: (scales, dtype) for key, scales, _, dtype in self.tensors}
        tensors = {
            key: _predicted(tensor, found, *made[key]) if key in made else tensor
            for key, tensor in found.tensors.items()
            if key not in gone
        }
        ties = (tuple(key for key in group if key not in gone and key not in made) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with numbers in place of codes."""
        gone = {*self.spent, *(scales for _, scales, _, _ in self.tensors if scales)}
        made = {key: _number(values, key, scales, scheme, dtype) for key, scales, scheme, dtype in self.tensors}
        return {key: made.get(key, value) for key, value in values.items() if key not in gone}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        rows = [{"key": k, "scales": s, "scheme": scheme, "dtype": dtype} for k, s, scheme, dtype in self.tensors]
        return {"kind": self.kind, "lossless": True, "tensors": rows, "spent": list(self.spent)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Dequantize:
        """Returns the step that `to_dict` wrote."""
        rows = tuple(
            (fields.text(row, "key"), fields.text(row, "scales"), fields.text(row, "scheme"), fields.text(row, "dtype"))
            for row in data["tensors"]
        )
        if any(row[2] not in SCHEMES for row in rows):
            raise ValueError(f"the schemes are {', '.join(SCHEMES)}")
        return cls(rows, fields.texts(data, "spent"))


def blocks_fit(codes: TensorInfo, scales: TensorInfo) -> bool:
    """Tells whether scales are one for the tensor, one for each row, or one for each block of a grid over it."""
    if scales.elements == 1:
        return True
    if len(codes.shape) != 2 or len(scales.shape) not in (1, 2):
        return False
    rows, columns = codes.shape
    across = scales.shape if len(scales.shape) == 2 else (scales.shape[0], 1)
    return 0 < across[0] <= rows and 0 < across[1] <= columns and (across[0] == rows or across[0] > 0)


def _predicted(tensor: TensorInfo, found: Description, scales: str, dtype: str) -> TensorInfo:
    parts = (*tensor.sources, *(found.tensors[scales].sources if scales else ()))
    return replace(tensor, dtype=dtype, layout="strided", parts=parts if scales else ())


def _number(values: Values, key: str, scales: str, scheme: str, dtype: str) -> Any:
    import torch

    wanted = getattr(torch, dtype)
    codes = values[key]
    if scheme == "quantized":
        return codes.dequantize().to(wanted)
    factor = values[scales].to(torch.float32)
    numbers = codes.to(torch.float32)
    if scheme == "rows":
        return (numbers * factor.reshape(-1, *[1] * (numbers.dim() - 1)) / 127).to(wanted)
    if factor.numel() == 1:
        return (numbers * factor.reshape(())).to(wanted)
    grid = factor if factor.dim() == 2 else factor.reshape(-1, 1)
    height, width = (-(-size // count) for size, count in zip(numbers.shape, grid.shape, strict=True))
    spread = grid.repeat_interleave(height, 0)[: numbers.shape[0]].repeat_interleave(width, 1)[:, : numbers.shape[1]]
    return (numbers * spread).to(wanted)
