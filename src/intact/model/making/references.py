"""Names of functions and classes, `module:qualname`, given only where the name leads back to the very same object.

Looking a name up here imports nothing and runs nothing: modules that are loaded already, and what stands in their and their
classes' dictionaries.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, ModuleType
from typing import Any

_TORCH_HOMES = ("torch.nn.functional", "torch", "torch.special", "math", "operator")
"""Where functions written in C are found by name, since they do not say themselves where they live."""


def class_name_of(cls: type) -> str:
    """Returns `module:Qualname` of a class, whether it can be found there or not."""
    return f"{cls.__module__}:{cls.__qualname__}"


def reference_of(value: Any) -> str | None:
    """Returns the name of a function or class; None for a function that cannot be found by its name again."""
    if isinstance(value, type):
        return class_name_of(value)
    names = [name for name in (getattr(value, "__qualname__", None), getattr(value, "__name__", None)) if isinstance(name, str)]
    module = getattr(value, "__module__", None)
    homes = (*_TORCH_HOMES, module) if isinstance(value, BuiltinFunctionType) else (module, *_TORCH_HOMES)
    places = [(home, name) for home in homes for name in dict.fromkeys(names) if isinstance(home, str)]
    return next((f"{home}:{name}" for home, name in places if find(home, name) is value), None)


def find(module: str, qualname: str) -> Any:
    """Returns what a loaded module holds under a qualified name; None where there is nothing."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
        if isinstance(found, staticmethod):
            found = found.__func__
    return found


def split(reference: str) -> tuple[str, str]:
    """Returns module and qualified name; the module is "" where the text is no reference."""
    module, _, name = reference.partition(":")
    return (module, name) if name else ("", reference)
