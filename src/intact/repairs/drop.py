"""Leave out tensors that the model has no place for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Drop:
    """Leaves out tensors.

    Attributes:
        keys: Which.
        lossless: Whether the model holds the same values anyway, or never used them.
    """

    keys: tuple[str, ...]
    lossless: bool = False
    kind: str = "drop"

    def predict(self, found: Description) -> Description:
        """Returns the description without them."""
        gone = frozenset(self.keys)
        ties = (tuple(key for key in group if key not in gone) for group in found.ties)
        return replace(
            found,
            tensors={key: tensor for key, tensor in found.tensors.items() if key not in gone},
            ties=tuple(group for group in ties if len(group) > 1),
        )

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values without them."""
        gone = frozenset(self.keys)
        return {key: value for key, value in values.items() if key not in gone}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "keys": list(self.keys)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Drop:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.texts(data, "keys"), fields.flag(data, "lossless"))
