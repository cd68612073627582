"""Take one place of a nested checkpoint: `{"epoch": 3, "model": {…}}` becomes what stands under `model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unnest:
    """Selects everything under one place; the rest of the checkpoint is left aside, in the file.

    Attributes:
        at: Path of the place (`model`, `nets[0]`); "" for the entries that stand directly at the top.
        aside: Keys of tensors that are left aside.
        module: Whether the place is a pickled module, whose class is then no longer needed.
    """

    at: str
    aside: tuple[str, ...] = ()
    module: bool = False
    kind: str = "unnest"
    lossless: bool = True

    def predict(self, found: Description) -> Description:
        """Returns the description of what stands under the place, with keys relative to it."""
        aside = frozenset(self.aside)
        tensors = {
            new: tensor.moved(new)
            for key, tensor in found.tensors.items()
            if key not in aside and (new := relative(key, self.at)) is not None
        }
        return replace(
            found,
            tensors=tensors,
            ties=tuple(group for ties in found.ties if len(group := self._kept(ties, aside)) > 1),
            modules={} if self.module else self._mapping(found.modules),
            absent={} if self.module else self._mapping(found.absent),
            metadata=self._mapping(found.metadata),
            extra_state=self._kept(found.extra_state, frozenset()),
        )

    def _kept(self, keys: tuple[str, ...], aside: frozenset[str]) -> tuple[str, ...]:
        return tuple(new for key in keys if key not in aside and (new := relative(key, self.at)) is not None)

    def _mapping(self, rows: Mapping[str, T]) -> dict[str, T]:
        return {new: row for path, row in rows.items() if (new := relative(path, self.at)) is not None}

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values under the place, with keys relative to it."""
        aside = frozenset(self.aside)
        return {new: value for key, value in values.items() if key not in aside and (new := relative(key, self.at)) is not None}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": True, "at": self.at, "aside": list(self.aside), "module": self.module}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Unnest:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.text(data, "at"), fields.texts(data, "aside"), fields.flag(data, "module"))


def relative(path: str, at: str) -> str | None:
    """Returns a path seen from a place, "" for the place itself, None for what does not stand under it."""
    if not at:
        return path
    if path == at:
        return ""
    if not path.startswith(at):
        return None
    rest = path[len(at) :]
    if rest.startswith("."):
        return rest[1:]
    return rest if rest.startswith("[") else None
