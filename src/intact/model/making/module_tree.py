"""The tree of a model's modules as plain data: paths, classes, what each module prints of itself, and its plain attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intact.core.architecture import ClassRecord, ParameterRecord, Variant
from intact.model.hyperparameters import Cache, hyperparameters_of
from intact.model.lazy_names import lazy_names_of
from intact.model.making.arguments import Encoder
from intact.model.making.references import class_name_of
from intact.model.making.sources import digest_of, source_of
from intact.model.state import modules_of
from intact.model.surroundings.distributions import distribution_of

if TYPE_CHECKING:
    import torch

LONGEST_REPR = 400
"""Characters of what a module prints of itself."""


@dataclass(slots=True)
class Tree:
    """The parts of an architecture that describe modules."""

    modules: tuple[tuple[str, int, int], ...] = ()
    variants: tuple[Variant, ...] = ()
    tables: tuple[dict[str, Any], ...] = ()
    classes: tuple[ClassRecord, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)


def tree_of(
    model: torch.nn.Module, signature_of: Callable[[type], tuple[ParameterRecord, ...]], *, include_source: bool = False
) -> Tree:
    """Returns the modules of a model, each distinct class, set of attributes and configuration once."""
    encoder, configurations = Encoder(), Cache()
    classes: dict[type, int] = {}
    variants: dict[Any, int] = {}
    tables: dict[Any, int] = {}
    places: dict[int, tuple[int, int]] = {}
    rows = []
    for path, module in modules_of(model):
        if id(module) not in places:
            cls = classes.setdefault(type(module), len(classes))
            variant = _variant(module, _plain_attributes(module, configurations), tables)
            places[id(module)] = (cls, variants.setdefault(variant, len(variants)))
        rows.append((path, *places[id(module)]))
    records = tuple(_class(cls, signature_of) for cls in classes)
    sources = {class_name_of(cls): text for cls in classes if (text := source_of(cls))} if include_source else {}
    plain = tuple(Variant(text, _encoded(encoder, own), shared) for text, own, shared in variants)
    return Tree(tuple(rows), plain, tuple(_encoded(encoder, table) for table in tables), records, sources)


def _variant(module: torch.nn.Module, hyperparameters: Mapping[str, Any], tables: dict[Any, int]) -> Any:
    """Printed form, own attributes, and the tables of its configurations, hashable."""
    own: list[tuple[str, Any]] = []
    shared: dict[str, list[tuple[str, Any]]] = {}
    for name, value in hyperparameters.items():
        prefix, dot, entry = name.partition(".")
        if dot:
            shared.setdefault(prefix, []).append((entry, value))
        else:
            own.append((name, value))
    places = [(prefix, tables.setdefault(_typed(rows), len(tables))) for prefix, rows in shared.items()]
    return (_printed(module), _typed(own), tuple(places))


def _plain_attributes(module: torch.nn.Module, configurations: Cache) -> Mapping[str, Any]:
    try:
        return hyperparameters_of(module, configurations)
    except Exception:  # noqa: BLE001 - evidence only: the user's objects may raise whatever they like when they are touched
        return {}


def _typed(rows: list[tuple[str, Any]]) -> tuple[tuple[str, type, Any], ...]:
    """Rows with their types, since 1, 1.0 and True are equal as keys."""
    return tuple((name, type(value), value) for name, value in rows)


def _encoded(encoder: Encoder, rows: tuple[tuple[str, type, Any], ...]) -> dict[str, Any]:
    return {name: encoder.encode(value) for name, _, value in rows}


def _printed(module: torch.nn.Module) -> str:
    try:
        return str(module.extra_repr())[:LONGEST_REPR]
    except Exception:  # noqa: BLE001 - the user's code; what a module prints is only evidence
        return ""


def _class(cls: type, signature_of: Callable[[type], tuple[ParameterRecord, ...]]) -> ClassRecord:
    lazy = tuple(sorted(lazy_names_of(cls)))
    owner = distribution_of(cls.__module__)
    return ClassRecord(class_name_of(cls), digest_of(cls), owner.name if owner else "", lazy, signature_of(cls))
