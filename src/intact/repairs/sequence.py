"""Several steps that only together make up one repair, done one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intact.core.description import Description
from intact.core.plan import Step, Values
from intact.repairs import fields

STEPS_LIMIT = 16
"""Steps of one repair that a plan may have; those of this package have at most five."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Does one step after the other.

    Attributes:
        steps: In the order in which they are done.
        lossless: Whether they lose nothing, and the evidence leaves nothing else that could be meant.
    """

    steps: tuple[Step, ...]
    lossless: bool
    kind: str = "sequence"

    def predict(self, found: Description) -> Description:
        """Returns the description after the last step."""
        for step in self.steps:
            found = step.predict(found)
        return found

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values after the last step."""
        for step in self.steps:
            values = step.perform(values, target)
        return values

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "steps": [step.to_dict() for step in self.steps]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sequence:
        """Returns the step that `to_dict` wrote."""
        from intact.repairs import step_from_dict

        steps = data["steps"]
        if not isinstance(steps, list) or not 0 < len(steps) <= STEPS_LIMIT:
            raise TypeError(f"`steps` must be a list of 1 to {STEPS_LIMIT} steps")
        if any(not isinstance(step, Mapping) or step.get("kind") in ("sequence", "in-part") for step in steps):
            raise TypeError("a step of a sequence is a plain step")
        return cls(tuple(step_from_dict(step) for step in steps), fields.flag(data, "lossless"))
