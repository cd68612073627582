"""Modules, tensors and arrays that stand on a model without being registered: in attributes, lists, mappings, objects.

Attributes are looked at as they lie in memory: no property is read, no method called. How far the search goes is bounded, and
what belongs to a library (optimizers, loaders, configuration of torch itself) is not searched.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from intact.model.survival.methods import is_of_library, per_class

if TYPE_CHECKING:
    import torch

MOST_MEMBERS = 10_000
"""Members of one container that are looked at."""

MOST_OBJECTS = 50_000
"""Containers and objects that are looked at on one model: a replay buffer must not turn a save into a search."""

DEEPEST = 6
"""Containers and objects within each other."""

Via = Literal["attribute", "container", "object"]
"""How it hangs on its module: by itself, within lists and mappings, or within an object of some other class."""

_PLAIN = frozenset({int, float, bool, str, bytes, type(None), complex, type, type(len), range, slice})
_OPAQUE = frozenset(sys.stdlib_module_names) | {"torch", "numpy", "builtins", "tqdm", "wandb", "tensorboard"}
"""Libraries whose objects are not searched."""

_SEARCHED = ("torch.distributions", "torch.nn.parameter", "collections")


@dataclass(frozen=True, slots=True)
class Loose:
    """One thing that no module registers.

    Attributes:
        path: What leads to it from the root.
        name: The attribute of the module, or of the innermost object of a class of the user's, that leads to it.
        value: The module, tensor, array or list of numbers itself.
        owner: The module that it hangs on.
        holder: Class that sets the attribute `name`: that of the owner, or of an object on the way.
        via: How it hangs there.
        root: The attribute of the module that leads to it.
        within: What leads to it from the module.
    """

    path: str
    name: str
    value: Any
    owner: torch.nn.Module
    holder: type
    via: Via
    root: str
    within: str


@dataclass(slots=True)
class Search:
    """A search over the attributes of modules; what is met twice is followed once.

    Attributes:
        known: Identities of all modules and tensors that are registered.
        seen: Identities of containers and objects that were followed.
    """

    known: set[int]
    seen: set[int] = field(default_factory=set)

    def of(self, path: str, module: torch.nn.Module) -> Iterator[Loose]:
        """Yields what stands loose on one module."""
        ours = own_attributes()
        for name, value in module.__dict__.items():
            if type(value) in _PLAIN or name in ours:
                continue
            at = f"{path}.{name}" if path else name
            yield from self._value(Loose(at, name, value, module, type(module), "attribute", name, name), 0)
        for name, value in _shared(type(module)).items():  # of the class itself, one for all of its objects
            if name not in module.__dict__:
                at = f"{path}.{name}" if path else name
                yield from self._value(Loose(at, name, value, module, type(module), "attribute", name, name), 0)

    def _value(self, place: Loose, depth: int) -> Iterator[Loose]:
        import torch

        value = place.value
        if type(value) in _PLAIN or id(value) in self.known:
            return
        if isinstance(value, torch.Tensor | torch.nn.Module) or _is_array(value):
            if id(value) not in self.seen:
                self.seen.add(id(value))
                yield place
            return
        if depth >= DEEPEST or id(value) in self.seen or len(self.seen) > MOST_OBJECTS:
            return
        members = _members(place, value)
        if members is None:
            return
        self.seen.add(id(value))
        for inner in members:
            yield from self._value(inner, depth + 1)


@lru_cache(maxsize=1)
def own_attributes() -> frozenset[str]:
    """Returns the attributes that every module has."""
    import torch

    return frozenset(torch.nn.Module().__dict__) | {"_super_module_initialized"}


@per_class
def _shared(cls: type) -> dict[str, Any]:
    import torch

    found = {name: value for base in reversed(cls.__mro__) if not is_of_library(base) for name, value in vars(base).items()}
    return {name: value for name, value in found.items() if isinstance(value, torch.nn.Module | torch.nn.Parameter)}


def is_numbers(value: Any) -> bool:
    """Whether a value is a list of at least two numbers; switches are none."""
    return isinstance(value, list | tuple) and 1 < len(value) <= MOST_MEMBERS and all(type(v) in (int, float) for v in value)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _members(place: Loose, value: Any) -> Iterable[Loose] | None:
    """What a container or an object holds; None for what is not searched."""
    cls = type(value)
    if isinstance(value, Mapping):
        return _mapped(place, value) if _is_plain_container(cls) else None
    if isinstance(value, list | tuple | deque | Set):
        return _listed(place, value) if _is_plain_container(cls) else None
    if isinstance(value, partial):
        return _listed(place, (value.func, *value.args, *value.keywords.values()))
    if isinstance(value, FunctionType):
        return _closed_over(place, value)
    if isinstance(value, MethodType):
        return _listed(place, (value.__self__,)) if not _is_opaque(type(value.__self__)) else None
    return _held(place, value) if not _is_opaque(cls) else None


def _closed_over(place: Loose, function: FunctionType) -> Iterator[Loose]:
    """What a function brings along from where it was defined."""
    if (function.__module__ or "").partition(".")[0] in _OPAQUE:
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            member = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        if type(member) not in _PLAIN:
            yield _within(place, f".{name}", member)


def _mapped(place: Loose, value: Mapping[Any, Any]) -> Iterator[Loose]:
    for position, (name, member) in enumerate(value.items()):
        if position >= MOST_MEMBERS:
            return
        if type(member) not in _PLAIN:
            yield _within(place, f".{name}" if isinstance(name, str | int) else f"[{position}]", member)


def _listed(place: Loose, value: Iterable[Any]) -> Iterator[Loose]:
    for position, member in enumerate(value):
        if position >= MOST_MEMBERS:
            return
        if type(member) not in _PLAIN:
            yield _within(place, f"[{position}]", member)


def _held(place: Loose, value: Any) -> Iterator[Loose]:
    slots = (name for cls in type(value).__mro__ for name in _texts(vars(cls).get("__slots__", ())))
    held = {name: object.__getattribute__(value, name) for name in slots if _has(value, name)}
    held.update(getattr(value, "__dict__", None) or {})
    for name, member in held.items():
        if type(member) not in _PLAIN:
            within = f"{place.within}.{name}"
            yield Loose(f"{place.path}.{name}", name, member, place.owner, type(value), "object", place.root, within)


def _has(value: Any, name: str) -> bool:
    try:
        object.__getattribute__(value, name)
    except AttributeError:
        return False
    return True


def _texts(value: Any) -> tuple[str, ...]:
    listed = (value,) if isinstance(value, str) else value
    return tuple(name for name in listed if isinstance(name, str) and name not in ("__dict__", "__weakref__"))


def _within(place: Loose, step: str, member: Any) -> Loose:
    via: Via = "object" if place.via == "object" else "container"
    return Loose(place.path + step, place.name, member, place.owner, place.holder, via, place.root, place.within + step)


@per_class
def _is_plain_container(cls: type) -> bool:
    """Whether iterating runs no code of somebody's own: a container of Python's, or a class that leaves iteration as it is."""
    base = next((b for b in (dict, list, tuple, deque, set, frozenset) if issubclass(cls, b)), None)
    if base is None:
        return cls.__module__ in ("builtins", "types", "collections")
    return all(getattr(cls, name, None) is getattr(base, name, None) for name in ("__iter__", "items", "__getitem__")) or (
        cls.__module__ == "collections"
    )


@per_class
def _is_opaque(cls: type) -> bool:
    if cls is SimpleNamespace:
        return False
    if cls.__module__.startswith(_SEARCHED):
        return False
    from torch.optim import Optimizer

    return cls.__module__.partition(".")[0] in _OPAQUE or issubclass(cls, type | Optimizer)
