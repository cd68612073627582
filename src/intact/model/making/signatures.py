"""The signature of a class's constructor, and a call of the class by the names of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from intact.core.architecture import Kind, ParameterRecord

_KINDS: dict[Any, Kind] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional-only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "var-positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword-only",
    inspect.Parameter.VAR_KEYWORD: "var-keyword",
}
_known: WeakKeyDictionary[type, tuple[inspect.Parameter, ...]] = WeakKeyDictionary()


def parameters_of(cls: type) -> tuple[inspect.Parameter, ...]:
    """Returns the parameters of a class's constructor without `self`; none where it has no signature."""
    found = _known.get(cls)
    if found is None:
        _known[cls] = found = _parameters(cls)
    return found


def _parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    constructor: Any = cls.__init__  # type: ignore[misc]  # read, not called
    try:
        return tuple(inspect.signature(constructor).parameters.values())[1:]
    except (TypeError, ValueError):
        return ()


def looked_for(cls: type) -> tuple[inspect.Parameter, ...]:
    """Returns the parameters whose values tell how an instance was made.

    A constructor that hands `**kwargs` to its base takes what the base takes, by keyword; these stand in the place of `*args` and
    `**kwargs`.
    """
    own = parameters_of(cls)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
        return own
    owner = next((base for base in cls.__mro__ if "__init__" in vars(base)), cls)
    base = next((one for one in cls.__mro__[cls.__mro__.index(owner) + 1 :] if "__init__" in vars(one)), object)
    inherited = looked_for(base) if base.__module__ != "torch.nn.modules.module" and base is not object else ()
    if not inherited:
        return own
    names = {parameter.name for parameter in own}
    passed = [_by_keyword(one) for one in inherited if one.name not in names and one.kind is not one.POSITIONAL_ONLY]
    return (*[one for one in own if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)], *passed)


def _by_keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter if variable else parameter.replace(kind=parameter.KEYWORD_ONLY)


def record_of(parameter: inspect.Parameter, default: Any) -> ParameterRecord:
    """Returns a parameter as a record, its default given as typed JSON."""
    has_default = parameter.default is not parameter.empty or parameter.kind in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )
    return ParameterRecord(parameter.name, _KINDS[parameter.kind], has_default, default)


def required(parameter: inspect.Parameter) -> bool:
    """Tells whether a call without this parameter fails."""
    return parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def call(cls: type, values: Mapping[str, Any]) -> Any:
    """Returns a new instance from arguments by name; parameters without a value are left to their defaults."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    by_place = _given_by_place(cls, values)
    for parameter in parameters_of(cls):
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif parameter.kind is parameter.POSITIONAL_ONLY or parameter.name in by_place:
            positional.append(value)
        else:
            named[parameter.name] = value
    known = {parameter.name for parameter in parameters_of(cls)}
    named.update((name, value) for name, value in values.items() if name not in known)
    return cls(*positional, **named)


def _given_by_place(cls: type, values: Mapping[str, Any]) -> set[str]:
    """Parameters in front of a filled `*args`, which can only be given by their place."""
    names: set[str] = set()
    for parameter in parameters_of(cls):
        if parameter.kind is parameter.VAR_POSITIONAL:
            return names if values.get(parameter.name) else set()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            names.add(parameter.name)
    return set()
