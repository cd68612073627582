"""Live objects of training beside the model: what each is, its state as plain data, and how it is put back.

An object is known by what it can do and not by where its class is from: whatever has groups of parameters and their state is an
optimizer, whatever counts epochs for one is a scheduler. Which attributes stepping changes is read from the code of the class.
"""

from __future__ import annotations

import copy
import dis
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import CodeType
from typing import Any, Literal

from intact.errors import ModelError
from intact.model.rng import RandomState

Kind = Literal["module", "optimizer", "scheduler", "scaler", "rng", "object", "value"]

_STEPPING = ("step", "get_lr", "_get_closed_form_lr", "_update_lr", "get_last_lr", "update")
"""Methods of schedulers that run while training, and whose assignments are therefore progress and not configuration."""

_PROGRESS = frozenset(
    {"last_epoch", "_step_count", "_last_lr", "_get_lr_called_within_step", "_is_initial", "verbose", "_initial_step"}
)
"""Attributes of torch's base class that are progress, in any release (torch `optim/lr_scheduler.py`, 1.0 to 2.13)."""


def kind_of(value: object) -> Kind:
    """Returns what an object is to training."""
    import torch

    if isinstance(value, torch.nn.Module):
        return "module"
    if isinstance(value, RandomState):
        return "rng"
    if not callable(getattr(value, "state_dict", None)):
        return "value"
    if isinstance(getattr(value, "param_groups", None), list):
        return "optimizer"
    if type(value).__name__.endswith("GradScaler"):
        return "scaler"
    if isinstance(value, torch.optim.lr_scheduler.LRScheduler | torch.optim.lr_scheduler.ReduceLROnPlateau):
        return "scheduler"
    if hasattr(value, "last_epoch") and callable(getattr(value, "step", None)):
        return "scheduler"
    return "rng" if _holds_generators(value) else "object"


def _holds_generators(value: Any) -> bool:
    """Whether an object's state is that of random generators, by the form that torch gives one."""
    import torch

    try:
        state = value.state_dict()
    except Exception:  # noqa: BLE001 - the user's code; it is asked again where its state is needed
        return False
    size = torch.get_rng_state().numel()
    members = state.values() if isinstance(state, Mapping) else ()
    return any(isinstance(one, torch.Tensor) and one.dtype == torch.uint8 and one.numel() == size for one in members)


def is_training(objects: Mapping[str, Any]) -> bool:
    """Tells whether a mapping is of objects to be saved together, rather than a state dict."""
    import torch

    if any(isinstance(value, torch.Tensor) for value in objects.values()):
        return False
    return any(
        kind_of(value) != "value" or _holds_tensors(value)
        for key, value in objects.items()
        if not str(key).endswith("_extra_state")
    )


def _holds_tensors(value: Any) -> bool:
    import torch

    return isinstance(value, Mapping) and any(isinstance(member, torch.Tensor) for member in value.values())


def class_name(value: object) -> str:
    """Returns the full name of an object's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def base_names(value: object) -> tuple[str, ...]:
    """Returns the full names of the classes that an object's class is made from."""
    return tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(value).__mro__[1:] if cls is not object)


def state_of_object(name: str, value: Any) -> Any:
    """Returns the state of an object, a plain value as it is.

    Raises:
        ModelError: Its own `state_dict` raises.
    """
    if not callable(getattr(value, "state_dict", None)):
        return value
    try:
        return value.state_dict()
    except Exception as error:
        raise ModelError(f"`{name}.state_dict()` raises {type(error).__name__}: {error}") from error


def changing_names(scheduler: Any) -> frozenset[str]:
    """Returns the names of a scheduler's state that stepping changes; those of the schedulers within it included."""
    inner = getattr(scheduler, "_schedulers", ())
    cls: Any = type(scheduler)
    own = _assigned_while_stepping(cls) | _PROGRESS
    return own.union(*(changing_names(one) for one in inner if one is not scheduler)) if isinstance(inner, list | tuple) else own


@cache
def _assigned_while_stepping(cls: Any) -> frozenset[str]:
    """Names of attributes that the methods assign which stepping runs, and those that these call."""
    found: set[str] = set()
    waiting, seen = [name for name in _STEPPING if hasattr(cls, name)], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith("__"):
            continue
        seen.add(name)
        for code in _codes(cls, name):
            found.update(str(i.argval) for i in dis.get_instructions(code) if i.opname == "STORE_ATTR")
            waiting.extend(other for other in code.co_names if hasattr(cls, other))
    return frozenset(found)


def _codes(cls: type, name: str) -> Iterator[CodeType]:
    """Yields the code of a method or property, of every class that defines it."""
    for owner in cls.__mro__:
        member = owner.__dict__.get(name)
        function: Any = member.fget if isinstance(member, property) else member
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if isinstance(getattr(function, "__code__", None), CodeType):
            yield function.__code__


@cache
def vocabulary_of(cls: Any) -> frozenset[str]:
    """Returns the texts that the methods of a class mention, its bases up to torch's own base class included."""
    import torch

    words: set[str] = set()
    for owner in cls.__mro__:
        if owner in (torch.optim.Optimizer, object):
            continue
        for name in owner.__dict__:
            for code in _codes(owner, name):
                words.update(_texts(code))
    return frozenset(words)


def _texts(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple | frozenset):
            yield from (item for item in constant if isinstance(item, str))
        elif isinstance(constant, CodeType):
            yield from _texts(constant)


class Kept:
    """One object as it is, so that it can be put back.

    Args:
        name: What the user calls it, for errors.
        value: The object.
    """

    def __init__(self, name: str, value: Any) -> None:
        self._value = value
        self._state = copy.deepcopy(state_of_object(name, value))
        self._attributes = dict(getattr(value, "__dict__", {}))

    def restore(self) -> None:
        """Puts it back: by its own loading code, and then every attribute as the same object that it was."""
        try:
            self._value.load_state_dict(copy.deepcopy(self._state))
        finally:
            if self._attributes:
                self._value.__dict__.clear()
                self._value.__dict__.update(self._attributes)


def loaded_by(name: str, value: Any) -> Callable[[Any], object]:
    """Returns the loading code of an object.

    Raises:
        ModelError: It has none.
    """
    load: Any = getattr(value, "load_state_dict", None)
    if not callable(load):
        raise ModelError(f"`{name}` is a {type(value).__name__} without `load_state_dict`, and cannot be loaded into")
    return load  # type: ignore[no-any-return]
