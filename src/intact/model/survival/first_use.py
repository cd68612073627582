"""State that a class makes when it is first used: flags that let `forward` write its weights, buffers that it registers late.

A flag that is no buffer is not saved. After loading it says "not yet" again, and the first batch overwrites what was loaded.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.core.inventory import Grade, Item
from intact.model.expectation import tensor_info
from intact.model.lazy_names import lazy_names_of
from intact.model.survival.effect import DATA, RANDOM
from intact.model.survival.effects import effects_of
from intact.model.survival.methods import is_of_library, methods_of, per_class, reached_from

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Flag:
    """A plain attribute that makes a method write state once.

    Attributes:
        name: The attribute.
        done: What it is set to when that has happened.
        writes: Attributes that are written.
        method: Where.
    """

    name: str
    done: Any
    writes: tuple[str, ...]
    method: str


@per_class
def flags_of(cls: type) -> tuple[Flag, ...]:
    """Returns the flags of a class; the same tuple each time."""
    return tuple(_read(cls)) if not is_of_library(cls) and _stores_later(cls) else ()


@per_class
def _stores_later(cls: type) -> bool:
    """Whether `forward`, or what it may call, sets attributes; asked of the bytecode, which is at hand."""
    methods = methods_of(cls)
    constructing = reached_from("__init__", methods)
    running = (reached_from("forward", methods) | reached_from("__call__", methods)) - (constructing - {"forward"})
    called = (method for name in running for method in methods[name][:1])
    return any(i.opname == "STORE_ATTR" for method in called for i in dis.get_instructions(method.function.__code__))


def _read(cls: type) -> Iterator[Flag]:
    effects = [effect for effect in effects_of(cls).effects if effect.phase != "construct"]
    for effect in effects:
        if type(effect.value) not in (bool, int) or effect.name not in effect.guards:
            continue
        written = [e for e in effects if effect.name in e.guards and e.name != effect.name and e.marks & (DATA | RANDOM)]
        if written:
            yield Flag(effect.name, effect.value, tuple(dict.fromkeys(e.name for e in written)), written[0].method)


def forgotten_flags(path: str, module: torch.nn.Module) -> Iterator[Item]:
    """Yields flags of a module that the state dict does not hold, and that let a method write what it does hold."""
    for flag in flags_of(type(module)):
        value = _plain_value(module, flag.name)
        written = [key for name in flag.writes for key in _keys(module, name)]
        if value is None or not written:
            continue
        at = f"{path}.{flag.name}" if path else flag.name
        infos = tuple(tensor_info(f"{path}.{key}" if path else key, tensor) for key, tensor in written)
        grade: Grade = "doubtful" if value == flag.done else "noted"
        yield Item(
            "flag", at, type(value).__name__, type(module).__name__, infos, grade, f"`{flag.method}` writes them", flag.name
        )  # fmt: skip


def _plain_value(module: torch.nn.Module, name: str) -> Any:
    """The value of a flag that is not saved; None where it is, or is not there."""
    import torch

    if name in module._non_persistent_buffers_set:
        held = module._buffers.get(name)
        return held.item() if held is not None and held.numel() == 1 and not held.is_meta else None
    value = module.__dict__.get(name)
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return value.item()
    return value if isinstance(value, bool | int) else None


def _keys(module: torch.nn.Module, name: str) -> list[tuple[str, torch.Tensor]]:
    """The saved tensors of an attribute: itself, or those of the module that it is."""
    inner = module._modules.get(name)
    if inner is not None:
        held_within = (*inner.named_parameters(remove_duplicate=False), *inner.named_buffers(remove_duplicate=False))
        return [(f"{name}.{key}", tensor) for key, tensor in held_within]
    held: torch.Tensor | None = module._parameters.get(name)
    if held is None and name not in module._non_persistent_buffers_set:
        held = module._buffers.get(name)
    return [(name, held)] if held is not None else []


@per_class
def makes_state_late(cls: type) -> bool:
    """Whether a class may make tensors or layers when it is first used."""
    return not is_of_library(cls) and bool(lazy_names_of(cls) or _stores_later(cls))


def late_state(path: str, module: torch.nn.Module) -> Iterator[Item]:
    """Yields saved tensors of a module that a fresh one has only when it is first used, alone or in a layer made then."""
    cls = type(module)
    for name in (*module._parameters, *module._buffers, *module._modules):
        effects = effects_of(cls).on(name)
        late = [effect for effect in effects if effect.phase != "construct"]
        if not late or any(effect.phase == "construct" and effect.value is not None for effect in effects):
            continue
        if held := _keys(module, name):
            infos = tuple(tensor_info(f"{path}.{key}" if path else key, tensor) for key, tensor in held)
            at = f"{path}.{name}" if path else name
            because = f"`{late[0].method}` makes it"
            yield Item("late", at, cls.__name__, cls.__name__, infos, "doubtful", because, name)
