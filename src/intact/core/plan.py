"""Steps and plans: what will be done to the values, decided on descriptions alone."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from intact.core.description import Description

Values = MutableMapping[str, Any]
"""Key to torch tensor. `Any`, because this package part never imports torch."""


class Step(Protocol):
    """One repair with two faces: what it says will be true, and what makes it true.

    The law between them: describing what `perform` returned equals what `predict` said.
    """

    @property
    def kind(self) -> str:
        """Name of the kind of step, a row of the table of repairs."""
        ...

    @property
    def lossless(self) -> bool:
        """Whether every original bit can be recovered from the result."""
        ...

    def predict(self, found: Description) -> Description:
        """Returns the description that will be true after the step."""
        ...

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values after the step.

        Args:
            values: Key to torch tensor, as they are before the step; not changed.
            target: The model's own tensors by key, for steps that keep some of them; never changed.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data that the table of repairs reads back."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps from what was found to what is expected.

    Attributes:
        steps: In the order in which they are performed, each with the code of the finding that it answers.
    """

    steps: tuple[tuple[str, Step], ...] = ()

    @property
    def lossless(self) -> bool:
        """Whether no step loses anything."""
        return all(step.lossless for _, step in self.steps)

    @property
    def lossy_codes(self) -> tuple[str, ...]:
        """Codes whose steps lose something and so wait for the user's word, in order, once each."""
        return tuple(dict.fromkeys(code for code, step in self.steps if not step.lossless))

    def predict(self, found: Description) -> Description:
        """Returns the description that will be true after all steps."""
        for _, step in self.steps:
            found = step.predict(found)
        return found

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values after all steps; `values` and `target` are not changed."""
        for _, step in self.steps:
            values = step.perform(values, target)
        return values

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as plain data (DESIGN: `{"lossless": …, "steps": […]}`)."""
        return {"lossless": self.lossless, "steps": [{"code": code, **step.to_dict()} for code, step in self.steps]}
