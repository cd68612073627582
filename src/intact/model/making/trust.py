"""What a name in a file may stand for.

A dotted path in a file is never imported by itself. Trusted are torch's own layers and pure functions, classes registered with
`intact.register`, the class that the caller gives together with what its loaded package defines, and the packages that the caller
names. Called are only modules; filled are only enumerations, tuples, dataclasses, configurations and plain objects; functions are
handed over as values and never called here.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar

from intact.errors import LoadRefused
from intact.model.making.argument_values import Use
from intact.model.making.references import class_name_of, find, split

T = TypeVar("T", bound=type)

_registered: dict[str, type] = {}
_TYPES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_BUILTINS: dict[str, type] = {cls.__name__: cls for cls in _TYPES}
_LAYERS = ("torch.nn.modules.", "torch.nn.utils.parametrizations", "torch.nn.parallel.data_parallel")
_PURE = """
abs acos add amax amin asin atan bmm cat celu_ clamp cos cosh cumsum div einsum erf erfc exp expm1 floor log
log10 log1p log2 log_softmax logsumexp matmul max maximum mean min minimum mm mul neg norm ones_like pow prod
reciprocal relu relu_ round rsqrt selu selu_ sigmoid sign sin sinh softmax sqrt square stack std sub sum tan
tanh var where zeros_like
"""
_ELEMENTWISE = frozenset(_PURE.split())


def register(cls: T) -> T:
    """Returns the class, which files may name from now on; works as a decorator too.

    Args:
        cls: A module class, or a class of its arguments.

    Raises:
        TypeError: It is no class.

    Example:
        >>> import intact, torch
        >>> @intact.register
        ... class Registered(torch.nn.Linear):
        ...     pass
    """
    if not isinstance(cls, type):
        raise TypeError(f"intact.register takes a class, not {type(cls).__name__}")
    _registered[class_name_of(cls)] = cls
    return cls


class Trust:
    """The rules for one load.

    Args:
        cls: The class that the caller gave, if any.
        packages: Packages that the caller names; these may be imported.
        recorded_as: Name under which the file knows the given class; its module may have been another one.
    """

    def __init__(self, cls: type | None = None, packages: Iterable[str] = (), recorded_as: str = "") -> None:
        self._cls = cls
        self._packages = (packages,) if isinstance(packages, str) else tuple(packages)
        self._recorded_module = split(recorded_as)[0]
        self._own = _own_classes(cls) if cls is not None else {}
        if cls is not None and recorded_as:
            self._own[recorded_as] = cls

    def resolve(self, reference: str, use: Use) -> Any:
        """Returns what a reference stands for.

        Raises:
            LoadRefused: It is not trusted, or not there; says what to pass.
        """
        module, name = split(reference)
        for place in (self._registered, self._torch, self._of_given_class, self._of_packages):
            found = place(module, name)
            if found is not None and _usable(found, use):
                return found
        raise self._refusal(module, name, use)

    def _registered(self, module: str, name: str) -> Any:
        return _registered.get(f"{module}:{name}") or self._own.get(f"{module}:{name}")

    def _torch(self, module: str, name: str) -> Any:
        import torch

        found = find(module, name)
        if module == "builtins":
            return _BUILTINS.get(name)
        if module == "math":
            return found if isinstance(found, BuiltinFunctionType) and hasattr(math, name) else None
        if module.startswith(_LAYERS):
            fits = isinstance(found, type) and issubclass(found, torch.nn.Module) and found.__module__ == module
            return found if fits else None
        if module == "torch.nn.functional":
            return found if _is_functional(name, found) else None
        if module == "torch.nn.init":
            return found if name.endswith("_") and isinstance(found, FunctionType) and found.__module__ == module else None
        return found if module == "torch" and name in _ELEMENTWISE else None

    def _of_given_class(self, module: str, name: str) -> Any:
        if self._cls is None:
            return None
        home = self._cls.__module__
        if module == self._recorded_module and module != home:
            module = home
        top = home.partition(".")[0]
        if top in ("torch", "builtins") or module.partition(".")[0] != top:
            return None
        return _defined(module, name)

    def _of_packages(self, module: str, name: str) -> Any:
        if not any(module == package or module.startswith(f"{package}.") for package in self._packages if package):
            return None
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except Exception as error:
                raise LoadRefused(
                    f"`{module}` is trusted, and importing it raises {type(error).__name__}: {str(error)[:200]}",
                    help=f"install what provides `{module}`, or build the model yourself and use intact.load_into",
                ) from error
        found = _defined(module, name)
        return None if isinstance(found, FunctionType | BuiltinFunctionType) and module.partition(".")[0] == "torch" else found

    def _refusal(self, module: str, name: str, use: Use) -> LoadRefused:
        top = module.partition(".")[0]
        what = {"module": "to be called", "object": "as the class of an argument", "value": "as an argument"}[use]
        trusted = any(module == package or module.startswith(f"{package}.") for package in self._packages)
        if "<locals>" in name or top in ("", "__main__"):
            help_text = f"it can only be found through you: intact.register({name.rpartition('.')[2]}) before loading"
        elif trusted:
            help_text = (
                f"`{module}` does not define a `{name}` that can be used so; build the model yourself and use intact.load_into"
            )
        else:
            help_text = f'if you trust the package, pass trust=["{top}"]; or import the class and intact.register it'
        evidence = {"reference": f"{module}:{name}", "use": use}
        return LoadRefused(
            f"the file names `{module}:{name}` {what}, and nothing makes it trusted", evidence=evidence, help=help_text
        )


def _own_classes(cls: type) -> dict[str, Any]:
    """The given class, the classes that it is made of, and those that the annotations of its constructor name."""
    found: dict[str, Any] = {
        class_name_of(base): base for base in cls.__mro__[:-1] if base.__module__.partition(".")[0] != "torch"
    }
    for annotation in _annotations(cls):
        found.setdefault(class_name_of(annotation), annotation)
    for member in vars(cls).values():
        if isinstance(member, type):
            found.setdefault(class_name_of(member), member)
    return found


def _annotations(cls: type) -> list[type]:
    """Classes that parameters are annotated with; text is looked up as a plain name and never evaluated."""
    init: Any = cls.__init__  # type: ignore[misc]  # read, not called
    function = inspect.unwrap(init)
    names = getattr(function, "__globals__", {})
    wanted = [annotation for name, annotation in getattr(function, "__annotations__", {}).items() if name != "return"]
    given = [names.get(one.partition("|")[0].strip()) if isinstance(one, str) else one for one in wanted]
    return [one for one in given if isinstance(one, type) and one.__module__ != "builtins"]


def _defined(module: str, name: str) -> Any:
    """A class or function of a loaded module, if it is defined there."""
    found = find(module, name)
    fits = isinstance(found, type | FunctionType | BuiltinFunctionType) and found.__module__ == module
    return found if fits else None


def _is_functional(name: str, found: Any) -> bool:
    import torch

    if name.startswith("_") or not isinstance(found, FunctionType | BuiltinFunctionType):
        return False
    if isinstance(found, FunctionType):
        return found.__module__ in ("torch.nn.functional", "torch._jit_internal") and name not in ("boolean_dispatch",)
    return getattr(torch._C._nn, name, None) is found or getattr(torch, name, None) is found


def _usable(found: Any, use: Use) -> bool:
    import torch

    if use == "value":
        return isinstance(found, type | FunctionType | BuiltinFunctionType)
    if not isinstance(found, type):
        return False
    if use == "module":
        return issubclass(found, torch.nn.Module)
    return _fillable(found)


def _fillable(cls: type) -> bool:
    """Whether an instance can be made without running a constructor, or by the `from_dict` of a configuration."""
    if hasattr(cls, "__del__"):
        return False
    if issubclass(cls, Enum | tuple | dict) or dataclasses.is_dataclass(cls) or hasattr(cls, "from_dict"):
        return True
    plain: Callable[..., Any] = object.__new__
    return cls.__new__ is plain and cls.__module__ != "builtins"
