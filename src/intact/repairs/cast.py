"""Give tensors the model's dtype, as torch casts: to the nearest, ties to even; fractions cut off by integer types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from intact.core.description import Description
from intact.core.plan import Values
from intact.errors import LoadRefused
from intact.repairs import fields
from intact.repairs.ties import regrouped


@dataclass(frozen=True, slots=True)
class Cast:
    """Casts tensors.

    Attributes:
        pairs: Key and the dtype it gets.
        lossless: Whether every value of them is the same number afterwards; measured, or certain from the dtypes.
    """

    pairs: tuple[tuple[str, str], ...]
    lossless: bool
    kind: str = "cast"

    def predict(self, found: Description) -> Description:
        """Returns the description with the new dtypes; a tensor cast alone is no longer tied to others."""
        new = {key: dtype for key, dtype in self.pairs if found.tensors[key].dtype != dtype}
        tensors = {k: replace(t, dtype=new[k]) if k in new else t for k, t in found.tensors.items()}
        return replace(found, tensors=tensors, ties=regrouped(found.ties, new.get))

    def perform(self, values: Values, target: Mapping[str, Any]) -> Values:  # noqa: ARG002 - a step needs no target
        """Returns the values with the new dtypes; tensors that were one object still are.

        A key without a value is passed over: it is not read where a later step puts another tensor in its place.
        """
        cast = dict(values)
        done: dict[tuple[int, str], Any] = {}
        for key, dtype in self.pairs:
            if key not in values:
                continue
            mark = (id(values[key]), dtype)
            if mark not in done:
                done[mark] = _cast(key, values[key], dtype)
            cast[key] = done[mark]
        return cast

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as plain data."""
        return {"kind": self.kind, "lossless": self.lossless, "dtypes": dict(self.pairs)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cast:
        """Returns the step that `to_dict` wrote."""
        return cls(fields.text_pairs(data, "dtypes"), fields.flag(data, "lossless"))


def _cast(key: str, value: Any, dtype: str) -> Any:
    """Returns one tensor in another dtype.

    Raises:
        LoadRefused: This torch has no such dtype, or cannot cast between the two.
    """
    import torch

    try:
        return value.to(getattr(torch, dtype))
    except (RuntimeError, AttributeError) as error:
        given = str(value.dtype).removeprefix("torch.")
        raise LoadRefused(f"`{key}`: this torch cannot cast {given} to {dtype}; nothing was changed") from error
