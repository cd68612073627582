"""The modules that code of a model comes from: its classes and their bases, what it keeps as attributes, what its methods name.

Only what the model reaches counts. What happens to be imported beside it, as the plotting library of a training script, does not:
whoever rebuilds the model would have to install it for nothing. Nothing is imported and no attribute of a user's object is asked
for by name; classes are looked through once in a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from intact.model.surroundings.distributions import belongs_to_python

if TYPE_CHECKING:
    from torch import nn

MOST_ITEMS = 64
"""Items looked at in one list or mapping that a module keeps; functions kept in lists are a handful."""

_FUNCTIONS = (FunctionType, BuiltinFunctionType, type)
_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None)})
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_parameters")
"""What every module has and may hold code of somebody else: hooks, and parameters of a class of their own."""

Reached = frozenset[tuple[str, str]]
"""Pairs of a module's name and the class of the model that it provides, "" where it provides something else."""

_of_classes: WeakKeyDictionary[type, Reached] = WeakKeyDictionary()


def modules_used(model: nn.Module) -> Reached:
    """Returns the modules that code of the model comes from, each with the classes of the model that it provides."""
    ordinary = _ordinary()
    classes: set[type] = set()
    held: set[str] = set()
    for module in model.modules():
        classes.add(type(module))
        state = vars(module)
        for name in state.keys() - ordinary:
            held.update(_homes(state[name]))
        for name in _HOOKS:
            if entries := state.get(name):
                held.update(_homes(entries))
    found = {("", "")}.union(*map(_of_class, classes), ((name, "") for name in held))
    return frozenset(pair for pair in found if pair[0] and not belongs_to_python(pair[0]))


@lru_cache(maxsize=1)
def _ordinary() -> frozenset[str]:
    from torch import nn

    return frozenset(vars(nn.Module()))


def _of_class(kind: type) -> Reached:
    known = _of_classes.get(kind)
    if known is None:
        known = _of_classes[kind] = frozenset(_looked_through(kind))
    return known


def _looked_through(kind: type) -> Iterator[tuple[str, str]]:
    """A class and its bases, and what the methods name that are not torch's own."""
    for base in kind.__mro__:
        if base is not object:
            yield base.__module__, base.__qualname__
        if not belongs_to_python(base.__module__) and base.__module__.partition(".")[0] != "torch":
            for name in _named_by(_methods(base), base.__module__):
                yield name, ""


def _methods(kind: type) -> list[FunctionType]:
    """Functions of a class, those behind class methods, static methods and properties included."""
    found = (getattr(value, "__func__", None) or getattr(value, "fget", None) or value for value in vars(kind).values())
    return [value for value in found if isinstance(value, FunctionType)]


def _named_by(functions: Iterable[FunctionType], home: str) -> set[str]:
    """The homes of everything that functions name; functions of the same module are followed."""
    found: set[str] = set()
    waiting, seen = list(functions), set[FunctionType]()
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        for value in _globals_named(function):
            found.update(_homes(value))
            if isinstance(value, FunctionType) and value.__module__ == home:
                waiting.append(value)
    return found


def _globals_named(function: FunctionType) -> list[Any]:
    known = function.__globals__
    return [known[name] for name in _names(function.__code__) if name in known]


def _names(code: CodeType) -> set[str]:
    """Global names that a piece of code and the functions inside it ask for."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _homes(value: Any, depth: int = 0) -> Iterator[str]:
    """Names of the modules that an object comes from; one level of lists and mappings is opened."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is ModuleType or issubclass(kind, ModuleType):
        yield _text(vars(value).get("__name__"))
    elif issubclass(kind, _FUNCTIONS):
        yield _text(value.__module__)
    elif kind is MethodType:
        yield from _homes(value.__func__, depth)
    elif kind is partial:
        yield from _homes(value.func, depth)
    else:
        yield kind.__module__
        if depth == 0 and issubclass(kind, (list, tuple, dict)):  # and not isinstance, which asks the object itself
            entries = value.values() if issubclass(kind, dict) else value
            for entry, _ in zip(entries, range(MOST_ITEMS), strict=False):
                yield from _homes(entry, depth + 1)


def _text(name: Any) -> str:
    return name if isinstance(name, str) else ""
