"""Give each parameter of an optimizer the state that was kept for it, wherever it stood. Values stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields
from intact.repairs.rename import Rename


@dataclass(frozen=True, slots=True)
class ByName:
    """Moves the state of an optimizer's parameters to where they stand in the live one.

    Attributes:
        optimizer: What the user calls it.
        moves: Key of a tensor in the file, and the key under which the live optimizer has it.
        parameters: Names of the parameters that move.
        dropped: Names of the parameters whose state is not loaded.
    """

    optimizer: str
    moves: tuple[tuple[str, str], ...] = ()
    parameters: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    kind: str = "by-name"

    @property
    def lossless(self) -> bool:
        """Whether all state reaches its parameter."""
        return not self.dropped

    def predict(self, found: Description) -> Description:
        """Returns the description with the state under the live optimizer's numbers."""
        return self._rename(found.tensors).predict(found)

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values under the live optimizer's numbers."""
        return self._rename(values).perform(values, target)

    def _rename(self, keys: Mapping[str, Any]) -> Rename:
        return Rename(tuple((old, new) for old, new in self.moves if old in keys))

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {
            "kind": self.kind,
            "lossless": self.lossless,
            "optimizer": self.optimizer,
            "moves": dict(self.moves),
            "parameters": list(self.parameters),
            "dropped": list(self.dropped),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ByName:
        """Returns the step that `to_dict` wrote."""
        return cls(
            fields.text(data, "optimizer"),
            fields.text_pairs(data, "moves"),
            fields.texts(data, "parameters"),
            fields.texts(data, "dropped"),
        )
