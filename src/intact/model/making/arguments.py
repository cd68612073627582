"""Constructor arguments as typed JSON, so that a tuple comes back as a tuple and a dtype as a dtype.

What JSON has stands as itself; everything else is an object with the key `~` for its kind. Functions and classes are kept by
reference, objects by class and content, modules as their own class and arguments. What has no such form is refused with a reason,
never turned into text.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import functools
import math
import pathlib
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from intact.model.making.recording import LARGEST_TENSOR_BYTES, TooLarge
from intact.model.making.references import reference_of
from intact.model.making.tokens import alike

if TYPE_CHECKING:
    import torch

MOST_VALUES = 50_000
"""Values in the arguments of one model; a configuration has hundreds."""

MOST_DEPTH = 24
"""Nesting of values within one constructor's arguments."""

_LARGEST_EXACT = 1 << 53
_NAMESPACES: dict[type, str] = {types.SimpleNamespace: "SimpleNamespace", argparse.Namespace: "Namespace"}
_DICTS: dict[type, str] = {dict: "dict", OrderedDict: "OrderedDict", defaultdict: "defaultdict"}
_IN_TURN: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}


class Uncapturable(Exception):
    """A value has no form in which it could be recorded; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A class and the values that it is to be called with, by parameter name.

    Attributes:
        cls: What is called.
        values: Live values.
        dtype: What floating-point state is cast to afterwards, "" for nothing.
    """

    cls: type
    values: Mapping[str, Any]
    dtype: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Placeholder:
    """Stands for a tensor that is an argument and is state as well: only its form is kept, its values are loaded."""

    tensor: torch.Tensor


class Encoder:
    """Encodes the arguments of one model.

    Args:
        call_of: Tells how a module that is an argument was made; raises `Uncapturable`.

    Attributes:
        references: Every function and class that the text refers to, by reference.
    """

    def __init__(self, call_of: Callable[[torch.nn.Module], Call] | None = None) -> None:
        self.references: dict[str, Any] = {}
        self._call_of = call_of
        self._modules: dict[int, int] = {}
        self._held: list[Any] = []
        self._count = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Returns a value as typed JSON.

        Raises:
            Uncapturable: It has no such form.
        """
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_VALUES:
            raise Uncapturable("it is nested too deeply or holds too many values")
        if value is None or isinstance(value, bool):
            return value
        cls = type(value)
        if cls in (int, float, str):
            return _number_or_text(value)
        if cls is list:
            return [self.encode(item, depth + 1) for item in value]
        if cls in _IN_TURN:
            items = [self.encode(item, depth + 1) for item in value]
            return _tagged(_IN_TURN[cls], sorted(items, key=repr) if cls in (set, frozenset) else items)
        if cls in _DICTS:
            return self._dict(value, depth)
        return self._rarer(value, depth)

    def _rarer(self, value: Any, depth: int) -> Any:
        cls = type(value)
        if cls is bytes:
            return _tagged("bytes", base64.b64encode(value).decode())
        if cls is complex:
            return _tagged("complex", [self.encode(value.real), self.encode(value.imag)])
        if cls in (slice, range):
            return _tagged(cls.__name__, [self.encode(item, depth + 1) for item in (value.start, value.stop, value.step)])
        if isinstance(value, pathlib.PurePath):
            return _tagged("path" if isinstance(value, pathlib.Path) else "pure-path", str(value))
        if isinstance(value, Enum):
            return {"~": "enum", "c": self._reference(cls), "v": value.name or self._refuse(value)}
        if cls is functools.partial:
            inner = [self.encode(value.func, depth + 1), self.encode(value.args, depth + 1)]
            return _tagged("partial", [*inner, self.encode(value.keywords, depth + 1)])
        if cls in _NAMESPACES:
            return _tagged(_NAMESPACES[cls], self._rows(vars(value), depth))
        if cls is TooLarge:
            raise Uncapturable(f"it is {value.what}")
        if isinstance(value, type) or (callable(value) and not hasattr(value, "parameters") and hasattr(value, "__name__")):
            return _tagged("ref", self._reference(value))
        return self._of_libraries(value, depth)

    def _of_libraries(self, value: Any, depth: int) -> Any:
        import torch

        if isinstance(value, torch.nn.Module):
            return self._module(value, depth)
        if isinstance(value, Placeholder):
            tensor = value.tensor
            kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "empty"
            return {"~": kind, "dtype": _torch_name(tensor.dtype), "shape": list(tensor.shape)}
        if isinstance(value, torch.Tensor):
            return _tensor(value)
        if isinstance(value, torch.Size):
            return _tagged("size", [int(item) for item in value])
        for kind in ("dtype", "device", "layout", "memory_format"):
            if isinstance(value, getattr(torch, kind)):
                return _tagged(kind, _torch_name(value))
        if type(value).__module__ == "numpy":
            return _numpy(value)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        """An object by its class and content, so that rebuilding it runs none of its code where that can be avoided."""
        cls = type(value)
        if isinstance(value, tuple):
            return self._content(cls, "tuple", [self.encode(item, depth + 1) for item in tuple(value)])
        if callable(getattr(value, "to_dict", None)) and callable(getattr(cls, "from_dict", None)):
            found = self._configuration(value, depth)
            if found is not None:
                return found
        if cls.__module__ == "builtins" or cls.__module__.partition(".")[0] == "torch":
            self._refuse(value)
        if isinstance(value, dict):
            items = [[self.encode(key, depth + 1), self.encode(item, depth + 1)] for key, item in dict.items(value)]
            return {**self._content(cls, "mapping", items), "d": self._rows(getattr(value, "__dict__", {}), depth)}
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
            held = {**{name: getattr(value, name) for name in names}, **getattr(value, "__dict__", {})}
            return self._content(cls, "plain", self._rows(held, depth))
        if _made_plainly(cls) and hasattr(value, "__dict__") and not hasattr(value, "__slots__"):
            return self._content(cls, "plain", self._rows(vars(value), depth))
        return self._refuse(value)

    def _configuration(self, value: Any, depth: int) -> Any:
        """A configuration as its own `to_dict` gives it, where that loses nothing."""
        try:
            held = value.to_dict()
            again = type(value).from_dict(dict(held))
        except Exception:  # noqa: BLE001 - the user's code; its attributes are taken instead
            return None
        if not isinstance(held, Mapping) or not alike(value, again):
            return None
        return self._content(type(value), "config", self.encode(dict(held), depth + 1))

    def _module(self, value: torch.nn.Module, depth: int) -> Any:
        if id(value) in self._modules:
            return {"~": "same", "id": self._modules[id(value)]}
        if self._call_of is None:
            self._refuse(value)
        assert self._call_of is not None
        call = self._call_of(value)
        number = self._modules[id(value)] = len(self._modules)
        self._held.append(value)
        rows = {name: self._named(name, item, depth) for name, item in call.values.items()}
        found = {"~": "module", "id": number, "c": self._reference(call.cls), "a": rows}
        return {**found, "d": call.dtype} if call.dtype else found

    def _named(self, name: str, value: Any, depth: int) -> Any:
        try:
            return self.encode(value, depth + 1)
        except Uncapturable as error:
            raise Uncapturable(f"its argument `{name}`: {error}") from None

    def _dict(self, value: Mapping[Any, Any], depth: int) -> Any:
        items = [[self.encode(key, depth + 1), self.encode(item, depth + 1)] for key, item in value.items()]
        found = _tagged(_DICTS[type(value)], items)
        if isinstance(value, defaultdict):
            found["f"] = self.encode(value.default_factory, depth + 1)
        return found

    def _rows(self, held: Mapping[str, Any], depth: int) -> list[Any]:
        return [[_number_or_text(str(name)), self._named(str(name), item, depth)] for name, item in held.items()]

    def _content(self, cls: type, how: str, content: Any) -> dict[str, Any]:
        return {"~": "object", "how": how, "c": self._reference(cls), "v": content}

    def _reference(self, value: Any) -> str:
        reference = reference_of(value)
        if reference is None:
            name = getattr(value, "__qualname__", type(value).__name__)
            raise Uncapturable(f"`{name}` cannot be found again by its name: it is a lambda, a local or a bound function")
        self.references[reference] = value
        return reference

    def _refuse(self, value: Any) -> Any:
        raise Uncapturable(
            f"an object of class {type(value).__module__}.{type(value).__qualname__} has no form to be recorded in"
        )


def _made_plainly(cls: type) -> bool:
    plain: Any = object.__new__
    return cls.__new__ is plain


def _tagged(kind: str, value: Any) -> dict[str, Any]:
    return {"~": kind, "v": value}


def _number_or_text(value: float | str) -> Any:
    """A number or text as JSON has it; what JSON or its readers would change is written as text with its kind."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return _tagged("text", base64.b64encode(value.encode("utf-8", "surrogatepass")).decode())
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _tagged("float", repr(value))
    return value if abs(value) < _LARGEST_EXACT else _tagged("int", hex(value))


def _torch_name(value: Any) -> str:
    return str(value).removeprefix("torch.")


def _tensor(value: torch.Tensor) -> Any:
    import torch

    size_bytes = value.numel() * value.element_size() if value.layout == torch.strided else -1
    if not 0 <= size_bytes <= LARGEST_TENSOR_BYTES or value.is_meta or value.is_quantized:
        raise Uncapturable(f"it is a tensor of {size_bytes} bytes; up to {LARGEST_TENSOR_BYTES} are kept as an argument")
    flat = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    data = base64.b64encode(flat.view(torch.uint8).numpy().tobytes()).decode()
    parameter = isinstance(value, torch.nn.Parameter)
    return {"~": "tensor", "dtype": _torch_name(value.dtype), "shape": list(value.shape), "v": data, "parameter": parameter}


def _numpy(value: Any) -> Any:
    if not hasattr(value, "tobytes") or value.dtype.hasobject or value.nbytes > LARGEST_TENSOR_BYTES:
        raise Uncapturable(f"it is a numpy {type(value).__name__} that is large or holds objects")
    data = base64.b64encode(value.tobytes()).decode()
    return {
        "~": "numpy",
        "dtype": value.dtype.str,
        "shape": list(value.shape),
        "v": data,
        "scalar": not hasattr(value, "__len__") and value.ndim == 0,
    }
