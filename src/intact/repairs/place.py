"""How values reach the model where copying into its tensor is not right: in place of it, or beside what it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Place:
    """Marks tensors to be put in place of the model's buffers with the file's dtype, or registered as new buffers.

    Attributes:
        keys: Which tensors.
        placement: `replace` or `register`.
    """

    keys: tuple[str, ...]
    placement: Literal["replace", "register"]
    kind: str = "place"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with the marks."""
        tensors = dict(found.tensors)
        for key in self.keys:
            tensors[key] = replace(tensors[key], placement=self.placement)
        return replace(found, tensors=tensors)

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values as they are: where they go is decided when they are loaded."""
        return dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": True, "keys": list(self.keys), "placement": self.placement}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Place:
        """Returns the step that `to_dict` wrote."""
        placement = fields.text(data, "placement")
        if placement not in ("replace", "register"):
            raise ValueError("`placement` must be replace or register")
        return cls(fields.texts(data, "keys"), "replace" if placement == "replace" else "register")
