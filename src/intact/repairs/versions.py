"""Versions of the model's classes that the file does not record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values

VERSIONS_LIMIT = 200_000
"""Modules of one model that a plan may name."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Takes the tensors for what the model's classes, as they are now, would have written.

    Attributes:
        versions: Version of the class by path of the module.
    """

    versions: tuple[tuple[str, int], ...]
    kind: str = "versions"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description with these versions recorded; no tensor is another one."""
        return replace(found, metadata=dict(self.versions))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values as they are: the load itself gives the model its own versions."""
        return dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "versions": dict(self.versions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Versions:
        """Returns the step that `to_dict` wrote."""
        rows = data["versions"]
        if not isinstance(rows, Mapping) or len(rows) > VERSIONS_LIMIT:
            raise TypeError("`versions` must be a mapping of paths to numbers")
        if any(not isinstance(path, str) or type(number) is not int for path, number in rows.items()):
            raise TypeError("`versions` must be a mapping of paths to numbers")
        return cls(tuple(rows.items()))
