"""The methods of a class as syntax trees, without running anything.

Here is known where a class written by a user ends and torch begins, which method a call on `self` or `super()` means, and which
names a method mentions. A class whose source cannot be read has methods and no trees.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
Definition = ast.FunctionDef | ast.AsyncFunctionDef

_NAMES: WeakKeyDictionary[FunctionType, frozenset[str]] = WeakKeyDictionary()
_TREES: WeakKeyDictionary[FunctionType, Definition | None] = WeakKeyDictionary()


def per_class(function: Callable[[type], T]) -> Callable[[type], T]:
    """Returns a function of a class that is asked once for each class, and keeps no class alive."""
    known: WeakKeyDictionary[type, T] = WeakKeyDictionary()

    @functools.wraps(function)
    def remembered(cls: type) -> T:
        if cls not in known:
            known[cls] = function(cls)
        return known[cls]

    return remembered


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method of a class of the user's.

    Attributes:
        name: As it is called.
        function: The function itself, decorators taken off where they name what they wrap.
        rank: Place of its class in the order of method resolution.
        is_property: Whether reading an attribute runs it.
        is_bound: Whether its first argument is the object.
    """

    name: str
    function: FunctionType
    rank: int
    is_property: bool = False
    is_bound: bool = True


def methods_of(cls: type) -> dict[str, list[Method]]:
    """Returns the methods of a class and of its bases outside of torch by name, the one that is called first."""
    found: dict[str, list[Method]] = {}
    for rank, base in enumerate(cls.__mro__):
        if is_of_library(base):
            continue
        for method in _own_methods(base, rank):
            found.setdefault(method.name, []).append(method)
    return found


def is_of_library(cls: type) -> bool:
    """Whether a class is Python's or torch's own: its attributes are its authors' business."""
    return cls.__module__.partition(".")[0] in ("torch", "builtins", "typing", "abc")


def _own_methods(cls: type, rank: int) -> Iterator[Method]:
    for name, value in vars(cls).items():
        inner: Any = value.fget if isinstance(value, property) else value
        inner = inner.func if isinstance(inner, cached_property) else getattr(inner, "__func__", inner)
        if isinstance(inner, FunctionType) and isinstance(function := inspect.unwrap(inner), FunctionType):
            is_property = isinstance(value, property | cached_property)
            yield Method(name, function, rank, is_property, not isinstance(value, staticmethod | classmethod))


def names_in(function: FunctionType) -> frozenset[str]:
    """Returns global and attribute names that a function mentions, functions within it included."""
    known = _NAMES.get(function)
    if known is None:
        known = _NAMES[function] = _names(function.__code__)
    return known


def _names(code: CodeType) -> frozenset[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*map(_names, inner))


def tree_of(function: FunctionType) -> Definition | None:
    """Returns the definition of a function; None where its source cannot be read, or is that of something else."""
    if function not in _TREES:
        _TREES[function] = _parsed(function)
    return _TREES[function]


def _parsed(function: FunctionType) -> Definition | None:
    """Reads the lines of one function; `inspect.getsource` would search all loaded modules for it first."""
    code = function.__code__
    try:
        lines = linecache.getlines(code.co_filename, function.__globals__)[code.co_firstlineno - 1 :]
        tree = ast.parse(textwrap.dedent("".join(inspect.getblock(lines)))) if lines else ast.Module([], [])
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError, IndexError):
        return None
    first = tree.body[0] if tree.body else None
    return first if isinstance(first, Definition) and first.name == function.__name__ else None


def reached_from(start: str, methods: dict[str, list[Method]]) -> set[str]:
    """Returns the names of methods that a method may call, by whatever way, itself included."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in methods and name not in reached:
            reached.add(name)
            waiting.extend(mentioned for method in methods[name] for mentioned in names_in(method.function))
    return reached
