"""Keys that are one tensor in the model: the value of one serves all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Tie:
    """Gives keys the tensor of another key.

    Attributes:
        pairs: Key that gets its tensor, and key whose tensor it gets.
        lossless: Whether the keys had no value of their own, or the same bytes.
    """

    pairs: tuple[tuple[str, str], ...]
    lossless: bool = True
    kind: str = "tie"

    def predict(self, found: Description) -> Description:
        """Returns the description in which each pair is one tensor."""
        tensors = dict(found.tensors)
        groups = {key: set(group) for group in found.ties for key in group}
        for key, giver in self.pairs:
            tensors[key] = replace(tensors[giver], key=key)
            joined = groups.get(giver, {giver}) | {key}
            for old in groups.pop(key, ()):
                if old != key and old in groups:
                    groups[old] = groups[old] - {key}
            groups.update(dict.fromkeys(joined, joined))
        order = {key: place for place, key in enumerate(tensors)}
        unique = {tuple(sorted(group, key=order.__getitem__)) for group in groups.values() if len(group) > 1}
        return replace(found, tensors=tensors, ties=tuple(sorted(unique, key=lambda group: order[group[0]])))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values in which each pair is one tensor."""
        tied = dict(values)
        for key, giver in self.pairs:
            tied[key] = tied[giver]
        return tied

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "ties": dict(self.pairs)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tie:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.text_pairs(data, "ties"), fields.flag(data, "lossless"))
