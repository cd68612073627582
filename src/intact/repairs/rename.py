"""Give tensors other keys. Shapes, dtypes and values stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.repairs import fields


@dataclass(frozen=True, slots=True)
class Rename:
    """Renames keys, one to one; keys that are not named stay, keys set aside are left in the file.

    Attributes:
        pairs: Key found and key expected, each at most once on its side.
        aside: Keys that belong to something else than the model and are left aside.
        lossless: Whether the evidence leaves no other mapping; otherwise the user has to agree.
    """

    pairs: tuple[tuple[str, str], ...]
    aside: tuple[str, ...] = ()
    kind: str = "rename"
    lossless: bool = True
    _new: Mapping[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)
    _gone: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    def __post_init__(self) -> None:
        new = dict(self.pairs)
        if len(new) != len(self.pairs) or len(set(new.values())) != len(new):
            raise ValueError("a rename must be one to one")
        object.__setattr__(self, "_new", new)
        object.__setattr__(self, "_gone", frozenset(self.aside))

    def predict(self, found: Description) -> Description:
        """Returns the description under the new keys."""
        tensors = {}
        for key, tensor in found.tensors.items():
            new = self._new.get(key, key)
            if key in self._gone:
                continue
            if new in tensors:
                raise ValueError(f"two tensors would be named {new!r}")
            tensors[new] = tensor if new == key else tensor.moved(new)
        ties = (tuple(self._new.get(key, key) for key in group if key not in self._gone) for group in found.ties)
        return replace(found, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values under the new keys."""
        return {self._new.get(key, key): value for key, value in values.items() if key not in self._gone}

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "renames": dict(self.pairs), "aside": list(self.aside)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rename:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.text_pairs(data, "renames"), fields.texts(data, "aside"), lossless=data.get("lossless") is not False)
