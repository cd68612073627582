"""A step of one object among several that are loaded together: it speaks of that object's keys and of no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Step, Values
from intact.core.tensor import TensorInfo
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class InPart:
    """Does a step within the part of a checkpoint that belongs to one object.

    Attributes:
        part: Name of the object; its keys begin with the name and a dot.
        step: What is done there.
    """

    part: str
    step: Step
    kind: str = "in-part"

    @property
    def lossless(self) -> bool:
        """Whether the step within loses nothing."""
        return self.step.lossless

    def predict(self, found: Description) -> Description:
        """Returns the description after the step; what belongs to other objects stays."""
        prefix = f"{self.part}."
        own = {key[len(prefix) :]: tensor for key, tensor in found.tensors.items() if key.startswith(prefix)}
        inner = {key: replace(tensor, key=key) for key, tensor in own.items()}
        ties = (tuple(key[len(prefix) :] for key in group if key.startswith(prefix)) for group in found.ties)
        after = self.step.predict(replace(found, tensors=inner, ties=tuple(group for group in ties if len(group) > 1)))
        others = {key: tensor for key, tensor in found.tensors.items() if not key.startswith(prefix)}
        made = {prefix + key: replace(tensor, key=prefix + key) for key, tensor in after.tensors.items()}
        tied = [[prefix + key for key in group] for group in after.ties]
        across = [self._across(group, found.tensors, made) for group in found.ties]
        return replace(found, tensors={**others, **made}, ties=_merged([*tied, *across]))

    def _across(self, group: Sequence[str], before: Mapping[str, TensorInfo], made: Mapping[str, TensorInfo]) -> list[str]:
        """The keys of a tie that are still one tensor: those of other objects, and what the step left as it was."""
        prefix = f"{self.part}."
        inside = [before[key] for key in group if key.startswith(prefix)]
        kept = [key for key, tensor in made.items() if any(_same(tensor, one) for one in inside)]
        return [*(key for key in group if not key.startswith(prefix)), *kept]

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:
        """Returns the values after the step; those of other objects stay."""
        prefix = f"{self.part}."
        own = {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}
        wanted = {key[len(prefix) :]: value for key, value in target.items() if key.startswith(prefix)}
        others = {key: value for key, value in values.items() if not key.startswith(prefix)}
        return {**others, **{prefix + key: value for key, value in self.step.perform(own, wanted).items()}}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "part": self.part, "step": self.step.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InPart:
        """Returns the step that `to_dict` wrote."""
        from intact.repairs import step_from_dict

        inner = data["step"]
        if not isinstance(inner, Mapping):
            raise TypeError("`step` must be a step")
        return cls(fields.text(data, "part"), step_from_dict(inner))


def _same(after: TensorInfo, before: TensorInfo) -> bool:
    """Whether a step moved a tensor at most."""
    return (after.source or after.key, after.dtype, after.shape) == (before.source or before.key, before.dtype, before.shape)


def _merged(groups: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups that share a key are one."""
    merged: list[dict[str, None]] = []
    for group in groups:
        joined = dict.fromkeys(group)
        for other in [other for other in merged if other.keys() & joined.keys()]:
            merged.remove(other)
            joined = {**other, **joined}
        merged.append(joined)
    return tuple(tuple(group) for group in merged if len(group) > 1)
