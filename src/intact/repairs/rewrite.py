"""Write the same content in a container that today's torch reads: nothing about the tensors changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Reads with intact what torch refuses; keys, shapes, dtypes and values stay.

    Attributes:
        container: The container that is refused.
    """

    container: str
    kind: str = "rewrite"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description as it is."""
        return found

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values as they are."""
        return dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": True, "container": self.container}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rewrite:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.text(data, "container"))
