"""Names of tensors that a class registers only when first used, read from the source of its methods; nothing is run.

A buffer that is registered in `forward` is in the checkpoint of a model that has run and not in a model that was just built. The
source is evidence for that and no proof, so whatever cannot be read counts as nothing.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

REGISTERING = frozenset({"register_buffer", "register_parameter"})
TENSORS = frozenset({"Parameter", "Buffer"})
_WORDS = REGISTERING | TENSORS
_KNOWN: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


def lazy_names_of(cls: type) -> frozenset[str]:
    """Returns the names that methods outside of construction register, base classes outside of torch included."""
    known = _KNOWN.get(cls)
    if known is None:
        known = _KNOWN[cls] = _read(cls)
    return known


def _read(cls: type) -> frozenset[str]:
    methods: dict[str, FunctionType] = {}
    for base in reversed(cls.__mro__):
        if base is not object and not base.__module__.startswith("torch."):
            methods.update(_functions(base))
    late = (function for name, function in methods.items() if name not in _construction(methods))
    return frozenset(name for function in late if _WORDS & _names(function.__code__) for name in _registered(function))


def _functions(cls: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(cls).items():
        inner: Any = value.fget if isinstance(value, property) else value
        inner = inner.func if isinstance(inner, cached_property) else getattr(inner, "__func__", inner)
        if isinstance(inner, FunctionType) and isinstance(unwrapped := inspect.unwrap(inner), FunctionType):
            yield name, unwrapped


def _construction(methods: dict[str, FunctionType]) -> set[str]:
    """Names of the methods that `__init__` may call, by whatever way, itself included."""
    reached: set[str] = set()
    waiting = ["__init__"]
    while waiting:
        name = waiting.pop()
        if name in methods and name not in reached:
            reached.add(name)
            waiting.extend(_names(methods[name].__code__))
    return reached


def _names(code: CodeType) -> frozenset[str]:
    """Global and attribute names that a function mentions, functions within it included."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*map(_names, inner))


def _registered(function: FunctionType) -> Iterator[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _by_call(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _by_assignment(node)


def _by_call(node: ast.Call) -> Iterator[str]:
    """The name in `self.register_buffer("name", …)`."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr in REGISTERING and isinstance(node.func.value, ast.Name)):
        return
    given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
    yield from (value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str))


def _by_assignment(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    """The names in `self.name = nn.Parameter(…)`."""
    value = node.value
    if not isinstance(value, ast.Call) or (getattr(value.func, "attr", None) or getattr(value.func, "id", "")) not in TENSORS:
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    yield from (target.attr for target in targets if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name))
