"""Plain attributes that were set after construction: what no argument gives, and a rebuilt model is given by hand.

Loaders leave marks, people change the rate of a dropout. Such values are recorded beside the arguments, and only where the proof
then finds the same model: a value that is not plain, or that shows in more than itself, is no setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intact.errors import LoadRefused
from intact.model.making.argument_values import Decoder
from intact.model.making.arguments import Encoder, Uncapturable
from intact.model.making.plainness import is_settable
from intact.model.making.proving import Proof, Prover
from intact.model.making.sameness import Portrait, changed_places, portrait_of

if TYPE_CHECKING:
    import torch

MOST_SETTINGS = 2_000
"""Attributes that may be set; one for each layer of a very deep model."""

Setting = tuple[str, str, Any]
"""Path of the module, name of the attribute, value as typed JSON."""


def settled(
    model: torch.nn.Module, live: Portrait, prover: Prover, encoder: Encoder, arguments: Mapping[str, Any]
) -> tuple[tuple[Setting, ...], Proof] | None:
    """Returns the attributes to set, and the proof that the same model comes of it; None where settings do not explain it.

    Args:
        model: The instance.
        live: Its portrait.
        prover: Of that instance.
        encoder: That encoded the arguments.
        arguments: Typed, with which only plain attributes came out otherwise.
    """
    for twin in prover.built(encoder, arguments):
        settings = _wanted(model, live, portrait_of(twin))
        apply(twin, settings)
        proof = prover.compared(twin)
        if proof.score == 0:
            return settings, replace(proof, reason="")
    return None


def apply(model: torch.nn.Module, settings: tuple[Setting, ...]) -> None:
    """Sets attributes of a rebuilt model.

    Raises:
        LoadRefused: There is no such module, or the value is not plain.
    """
    import torch

    decoder = Decoder(_Nothing(), torch.device)
    for path, name, value in settings:
        try:
            module = model.get_submodule(path)
            made = decoder.decode(value)
        except (AttributeError, ValueError, TypeError, RuntimeError) as error:
            raise LoadRefused(f"the attribute `{path}.{name}` cannot be set as it was: {error}") from None
        if not name.isidentifier() or name.startswith("__") or not is_settable(name, made):
            raise LoadRefused(f"the attribute `{path}.{name}` cannot be set: it is no plain one")
        vars(module)[name] = made


class _Nothing:
    """Resolves no reference: settings are plain."""

    def resolve(self, reference: str, use: Any) -> Any:
        del use
        raise ValueError(f"`{reference}` is no plain value")


def _wanted(model: torch.nn.Module, live: Portrait, built: Portrait) -> tuple[Setting, ...]:
    """The plain attributes that came out otherwise; whether they are all that differs, the comparison afterwards says."""
    modules = dict(model.named_modules())
    wanted: list[Setting] = []
    for path, name in changed_places(live, built)[:MOST_SETTINGS]:
        attributes = vars(modules[path]) if path in modules else {}
        if name in attributes and is_settable(name, attributes[name]):
            with suppress(Uncapturable):
                wanted.append((path, name, Encoder().encode(attributes[name])))
    return tuple(wanted)
