"""What of a live model is not as it was when it was sealed: attributes, classes, their texts, tables outside of the state dict.

Differences are facts and not faults. Whether one matters is for the replay to say; where there is none, only what the code of
`forward` reads is taken to matter.
"""

from __future__ import annotations

import difflib
import dis
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from types import CodeType
from typing import TYPE_CHECKING, Any

from intact.behaviour import COARSE, LAST_BITS, distance
from intact.core.architecture import Architecture
from intact.core.behaviour import AttributeChange, SourceChange
from intact.core.manifest import Absent
from intact.core.probe import Fingerprint, Table
from intact.model.contents import absent_of
from intact.model.making.rebuilding import attribute_differences, class_changes
from intact.model.making.references import class_name_of, split
from intact.model.making.sources import source_of
from intact.model.making.wrappers import WRAPPERS
from intact.model.modes import Mode
from intact.model.replay.fingerprints import fingerprint
from intact.model.replay.probe_tables import tables_of
from intact.model.state import modules_of
from intact.model.survival.methods import is_of_library, methods_of, names_in, per_class, reached_from

if TYPE_CHECKING:
    import torch

MOST_CHANGES = 10_000
"""Attributes that are listed; a model of another configuration has a few for each module."""

MOST_LINES = 40
"""Lines of a changed source that are shown."""

WITHOUT_EFFECT = frozenset({"inplace", "momentum", "training", "device", "dtype", "gradient_checkpointing"})
"""Attributes that do not change what a module computes in eval mode, whoever reads them."""


def inner_architecture(architecture: Architecture) -> Architecture:
    """Returns the record of the module inside a wrapper; the record itself where there is none."""
    prefix = WRAPPERS.get(architecture.class_name)
    if prefix is None:
        return architecture
    begin = f"{prefix}."
    inner = [row for row in architecture.modules if f"{row[0]}.".startswith(begin)]
    rows = [(path[len(begin) :], cls, variant) for path, cls, variant in inner]
    root = next((architecture.classes[row[1]].name for row in rows if not row[0]), architecture.class_name)
    return replace(architecture, class_name=root, modules=tuple(rows))


def without_prefix(key: str, architecture: Architecture) -> str:
    """Returns a key of a wrapped model as the module inside calls it."""
    prefix = WRAPPERS.get(architecture.class_name)
    return key.removeprefix(f"{prefix}.") if prefix else key


def inner_mode(mode: Mode | None, architecture: Architecture | None) -> Mode | None:
    """Returns a recorded mode with the paths that the module inside a wrapper has."""
    if mode is None or architecture is None:
        return mode
    return replace(mode, other_mode=tuple(without_prefix(path, architecture) for path in mode.other_mode))


def attribute_changes(
    architecture: Architecture, model: torch.nn.Module, tables: tuple[Table, ...] = ()
) -> tuple[AttributeChange, ...]:
    """Returns plain attributes and classes of modules that differ from the recorded ones.

    Args:
        architecture: Of the module itself, not of a wrapper.
        model: As it is now.
        tables: Large attributes that were recorded.
    """
    modules = dict(modules_of(model))
    found = [*_other_classes(architecture, modules), *_other_values(architecture, model, modules), *_other_tables(tables, model)]
    return tuple(found[:MOST_CHANGES])


def _other_classes(architecture: Architecture, modules: Mapping[str, torch.nn.Module]) -> Iterator[AttributeChange]:
    for path, cls, _ in architecture.modules:
        module = modules.get(path)
        then = architecture.classes[cls].name
        if module is not None and split(then)[1] != split(class_name_of(type(module)))[1]:
            yield AttributeChange(path, type(module).__name__, "class", then, class_name_of(type(module)))


def _other_values(
    architecture: Architecture, model: torch.nn.Module, modules: Mapping[str, torch.nn.Module]
) -> Iterator[AttributeChange]:
    for row in attribute_differences(architecture, model):
        cls = type(modules[row.path])
        yield AttributeChange(row.path, cls.__name__, row.name, row.recorded, row.current, is_used(cls, row.name))


def _other_tables(tables: tuple[Table, ...], model: torch.nn.Module) -> Iterator[AttributeChange]:
    if not tables:
        return
    now, modules = {(table.path, table.name): table for table in tables_of(model)}, dict(modules_of(model))
    for then in tables:
        here = now.get((then.path, then.name))
        if here is not None and here.digest != then.digest:
            cls = type(modules[then.path])
            yield AttributeChange(then.path, cls.__name__, then.name, _shown(then), _shown(here), is_used(cls, then.name))


def _shown(table: Table) -> str:
    more = ", …" if table.count > len(table.head) else ""
    return f"{table.kind} of {table.count:,}: {', '.join(table.head)}{more}"


def is_used(cls: type, name: str) -> bool:
    """Tells whether the code that runs in a class's `forward` reads an attribute, and does not write it."""
    first, _, last = name.rpartition(".")
    if (last or first) in WITHOUT_EFFECT or (name == "p" and "Dropout" in cls.__name__):
        return False
    if is_of_library(cls):
        return True
    read, written = _names(cls)
    return last in read and (not first or first in read) and name not in written


@per_class
def _names(cls: type) -> tuple[frozenset[str], frozenset[str]]:
    """Names that `forward` and what it calls mention, and attributes that they write."""
    methods = methods_of(cls)
    reached = [method.function for name in reached_from("forward", methods) for method in methods[name]]
    read = frozenset().union(*map(names_in, reached)) if reached else frozenset[str]()
    return read, frozenset(name for function in reached for name in _written(function.__code__))


def _written(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname == "STORE_ATTR" and isinstance(step.argval, str):
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _written(constant)


def source_changes(architecture: Architecture, model: torch.nn.Module) -> tuple[SourceChange, ...]:
    """Returns the classes of a model whose text differs, with the lines where the text was recorded."""
    classes = {class_name_of(type(module)): type(module) for _, module in modules_of(model)}
    return tuple(
        SourceChange(
            change.class_name,
            str(change.recorded),
            str(change.current),
            _diff(architecture.sources.get(change.class_name, ""), source_of(classes[change.class_name])),
        )
        for change in class_changes(architecture, model)
    )


def _diff(then: str, now: str) -> tuple[str, ...]:
    if not then:
        return ()
    rows = difflib.unified_diff(then.splitlines(), now.splitlines(), "then", "now", lineterm="", n=0)
    return tuple(row[:200] for row in islice(rows, 2, MOST_LINES + 2))


def buffer_changes(recorded: Mapping[str, Absent], prints: Mapping[str, Fingerprint], model: torch.nn.Module) -> tuple[str, ...]:
    """Returns buffers outside of the state dict that have the recorded form and other values, rounding apart.

    Args:
        recorded: With digests, by key.
        prints: Fingerprints, where they were recorded too.
        model: As it is now.
    """
    return tuple(key for key, row in _absent(model).items() if key in recorded and _differs(recorded[key], row, prints, model))


def _absent(model: torch.nn.Module) -> dict[str, Absent]:
    return {row.key: row for row in absent_of(model)}


def _differs(then: Absent, now: Absent, prints: Mapping[str, Fingerprint], model: torch.nn.Module) -> bool:
    if not then.digest or not now.digest or then.digest == now.digest or (then.dtype, then.shape) != (now.dtype, now.shape):
        return False
    if then.key not in prints:
        return True
    owner, _, name = then.key.rpartition(".")
    held: Any = model.get_submodule(owner)._buffers[name]
    return distance(prints[then.key], fingerprint(held)) > LAST_BITS.get(then.dtype, COARSE if "float" in then.dtype else 0.0)
