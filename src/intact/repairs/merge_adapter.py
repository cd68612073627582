"""Add to weights what an adapter learned beside them: two small matrices whose product, scaled, is the change.

Source:
    LoRA: https://arxiv.org/abs/2106.09685 (`W + alpha / r * B A`); rank-stabilised: https://arxiv.org/abs/2312.03732
    (`alpha / sqrt(r)`). Layouts: peft 0.18 `tuners/lora/layer.py`; loralib 0.1; `lora_down`/`lora_up` of kohya-ss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Adapter:
    """The change of one weight.

    Attributes:
        weight: Key of the weight.
        down: Key of the first matrix, rank first.
        up: Key of the second matrix, rank last.
        scale: Factor of the product; where `alpha` is given, what that is divided by is the rank, and this is 1.
        alpha: Key of the number that, divided by the rank, is the factor; "" where the factor is known.
        transposed: Whether the weight holds inputs first, as an embedding or a Conv1D does.
    """

    weight: str
    down: str
    up: str
    scale: float = 1.0
    alpha: str = ""
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class MergeAdapter:
    """Computes weights from a base and an adapter; the results are new, rounded numbers.

    Attributes:
        adapters: One for each weight.
    """

    adapters: tuple[Adapter, ...]
    kind: str = "merge-adapter"
    lossless: bool = False

    def predict(self, found: Description) -> Description:
        """Returns the description without the parts of the adapters."""
        gone = {key for row in self.adapters for key in (row.down, row.up, row.alpha)}
        parts = {row.weight: (row.down, row.up, *((row.alpha,) if row.alpha else ())) for row in self.adapters}
        tensors = {
            key: replace(tensor, parts=tuple(s for k in (key, *parts[key]) for s in found.tensors[k].sources))
            if key in parts
            else tensor
            for key, tensor in found.tensors.items()
            if key not in gone
        }
        ties = (tuple(key for key in group if key not in gone and key not in parts) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the products added."""
        gone = {key for row in self.adapters for key in (row.down, row.up, row.alpha)}
        made = {row.weight: _merged(values, row) for row in self.adapters}
        return {key: made.get(key, value) for key, value in values.items() if key not in gone}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        rows = [
            {"weight": a.weight, "down": a.down, "up": a.up, "scale": a.scale, "alpha": a.alpha, "transposed": a.transposed}
            for a in self.adapters
        ]
        return {"kind": self.kind, "lossless": False, "adapters": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MergeAdapter:
        """Returns the step that `to_dict` wrote."""
        return cls(
            tuple(
                Adapter(
                    fields.text(row, "weight"),
                    fields.text(row, "down"),
                    fields.text(row, "up"),
                    float(row["scale"]),
                    fields.text(row, "alpha"),
                    fields.flag(row, "transposed"),
                )
                for row in data["adapters"]
            )
        )


def fits(weight: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...], *, transposed: bool) -> bool:
    """Tells whether the product of two matrices has as many rows and columns as a weight.

    Args:
        weight: Shape of the weight.
        down: Shape of the first matrix: rank, then what the weight takes in.
        up: Shape of the second: what the weight gives, then rank.
        transposed: Whether the weight holds inputs first.
    """
    if len(weight) < 2 or len(down) < 2 or len(up) < 2 or down[0] != up[1] or prod(up[2:]) != 1:
        return False
    return weight == (down[1], up[0]) if transposed else weight == (up[0], *down[1:])


def _merged(values: Values, row: Adapter) -> Any:
    import torch

    weight, down, up = values[row.weight], values[row.down], values[row.up]
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    rank = down.shape[0]
    product = up.to(wide).reshape(up.shape[0], rank) @ down.to(wide).reshape(rank, prod(down.shape[1:]))
    scale = row.scale * float(values[row.alpha]) / rank if row.alpha else row.scale
    change = (product.T if row.transposed else product).reshape(weight.shape) * scale
    return (weight.to(wide) + change).to(weight.dtype)
