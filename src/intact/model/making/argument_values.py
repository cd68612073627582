"""Constructor arguments back from typed JSON.

The text is somebody else's: every kind is checked before it is used, and every function or class that it names is asked of a
resolver, which decides what may be handed over and what may be called. Objects are filled without calling their constructors;
only modules and configurations with `from_dict` are called.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import functools
import math
import pathlib
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from intact.model.making.recording import LARGEST_TENSOR_BYTES
from intact.model.making.signatures import call

if TYPE_CHECKING:
    import torch

Use = Literal["value", "object", "module"]
"""What a named thing is wanted for: to be handed over, to have an instance filled, to be called as a module's class."""

LARGEST_PLACEHOLDER_BYTES = 1 << 40
"""More than the memory of any machine that a placeholder is made on."""


class Resolver(Protocol):
    """Decides what a reference in a file may stand for."""

    def resolve(self, reference: str, use: Use) -> Any:
        """Returns the function or class; raises where it is not trusted."""
        ...


class Decoder:
    """Decodes the arguments of one model.

    Args:
        resolver: What may be named.
        device: Where a recorded device is put in place of.
    """

    def __init__(self, resolver: Resolver, device: Callable[[str], torch.device]) -> None:
        self._resolver = resolver
        self._device = device
        self._modules: dict[int, torch.nn.Module] = {}
        self._kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "tuple": lambda data: tuple(self._list(data["v"])),
            "set": lambda data: set(self._list(data["v"])),
            "frozenset": lambda data: frozenset(self._list(data["v"])),
            "dict": lambda data: dict(self._pairs(data["v"])),
            "OrderedDict": lambda data: OrderedDict(self._pairs(data["v"])),
            "defaultdict": lambda data: defaultdict(self.decode(data["f"]), self._pairs(data["v"])),
            "bytes": lambda data: _bytes(data["v"]),
            "text": lambda data: _bytes(data["v"]).decode("utf-8", "surrogatepass"),
            "complex": lambda data: complex(*self._list(data["v"])),
            "float": lambda data: float(_text(data["v"])),
            "int": lambda data: int(_text(data["v"]), 16),
            "slice": lambda data: slice(*self._list(data["v"])),
            "range": lambda data: range(*self._list(data["v"])),
            "path": lambda data: pathlib.Path(_text(data["v"])),
            "pure-path": lambda data: pathlib.PurePath(_text(data["v"])),
            "enum": self._enum,
            "partial": self._partial,
            "SimpleNamespace": lambda data: types.SimpleNamespace(**self._attributes(data["v"])),
            "Namespace": lambda data: argparse.Namespace(**self._attributes(data["v"])),
            "ref": lambda data: self._resolver.resolve(_text(data["v"]), "value"),
            "size": self._size,
            "dtype": lambda data: torch_constant(_text(data["v"]), "dtype"),
            "layout": lambda data: torch_constant(_text(data["v"]), "layout"),
            "memory_format": lambda data: torch_constant(_text(data["v"]), "memory_format"),
            "device": lambda data: self._device(_text(data["v"])),
            "tensor": _tensor,
            "parameter": _placeholder,
            "empty": _placeholder,
            "numpy": _numpy,
            "object": self._object,
            "module": self._module,
            "same": lambda data: self._modules[data["id"]],
        }

    def decode(self, data: Any) -> Any:
        """Returns the value that typed JSON stands for.

        Raises:
            ValueError: The data are of no known form.
        """
        if isinstance(data, list):
            return self._list(data)
        if not isinstance(data, dict):
            return data
        kind = self._kinds.get(str(data.get("~")))
        if kind is None:
            raise ValueError(f"an argument is of the unknown kind {str(data.get('~'))[:40]!r}")
        try:
            return kind(data)
        except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeError, OverflowError) as error:
            raise ValueError(f"an argument of kind {data['~']!r} is malformed: {error}") from error

    def _list(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise ValueError(f"a sequence of an argument is a {type(data).__name__}")
        return [self.decode(item) for item in data]

    def _pairs(self, data: Any) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(value)) for key, value in data]

    def _attributes(self, data: Any) -> dict[str, Any]:
        return {_text(self.decode(name)): self.decode(value) for name, value in data}

    def _enum(self, data: dict[str, Any]) -> Any:
        cls = self._resolver.resolve(_text(data["c"]), "object")
        if not (isinstance(cls, type) and issubclass(cls, Enum)):
            raise ValueError(f"`{data['c']}` is no enumeration")
        return cls.__members__[_text(data["v"])]

    def _partial(self, data: dict[str, Any]) -> Any:
        function, args, keywords = self._list(data["v"])
        return functools.partial(function, *args, **keywords)

    def _size(self, data: dict[str, Any]) -> Any:
        import torch

        return torch.Size(_shape(data["v"]))

    def _object(self, data: dict[str, Any]) -> Any:
        cls, how, content = self._resolver.resolve(_text(data["c"]), "object"), data["how"], data["v"]
        if not isinstance(cls, type):
            raise ValueError(f"`{data['c']}` is no class")
        if how == "tuple" and issubclass(cls, tuple):
            return tuple.__new__(cls, self._list(content))
        if how == "config" and callable(found := getattr(cls, "from_dict", None)):
            return found(self.decode(content))
        if how == "mapping" and issubclass(cls, dict):
            made = dict.__new__(cls)
            dict.update(made, self._pairs(content))
            return _filled(made, self._attributes(data["d"]))
        if how == "plain":
            return _filled(object.__new__(cls), self._attributes(content))
        raise ValueError(f"`{data['c']}` cannot be filled as {str(how)[:40]!r}")

    def _module(self, data: dict[str, Any]) -> torch.nn.Module:
        cls = self._resolver.resolve(_text(data["c"]), "module")
        values = {name: self.decode(value) for name, value in data["a"].items()}
        module: torch.nn.Module = call(cls, values)
        self._modules[data["id"]] = cast_floating(module, data.get("d", ""))
        return module


def _filled(made: Any, attributes: dict[str, Any]) -> Any:
    """The instance with its attributes put straight into its dictionary or slots, so that no setter of the class runs."""
    for name, value in attributes.items():
        slot = next((vars(cls)[name] for cls in type(made).__mro__ if name in vars(cls)), None)
        if isinstance(slot, types.MemberDescriptorType):
            slot.__set__(made, value)
        else:
            vars(made)[name] = value
    return made


def cast_floating(module: torch.nn.Module, dtype: str) -> torch.nn.Module:
    """Returns the module with all its floating-point state cast to a dtype by name; as it is for ""."""
    if not dtype:
        return module
    target = torch_constant(dtype, "dtype")
    if not target.is_floating_point:
        raise ValueError(f"{dtype} is no floating-point dtype")
    function: Any = lambda tensor: tensor.to(target) if tensor.is_floating_point() else tensor  # noqa: E731 - an Any for _apply
    module._apply(function)  # type: ignore[no-untyped-call]
    return module


def torch_constant(name: str, kind: str) -> Any:
    """Returns a dtype, layout or memory format of torch by its name."""
    import torch

    found = getattr(torch, name, None) if name.isidentifier() else None
    if not isinstance(found, getattr(torch, kind)):
        raise ValueError(f"torch has no {kind} {name[:40]!r}")
    return found


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise ValueError(f"a text of an argument is a {type(data).__name__}")
    return data


def _bytes(data: Any) -> bytes:
    return base64.b64decode(_text(data), validate=True)


def _shape(data: Any) -> tuple[int, ...]:
    if not isinstance(data, list) or len(data) > 64 or not all(type(size) is int and size >= 0 for size in data):
        raise ValueError("a shape of an argument is malformed")
    return tuple(data)


def _tensor(data: dict[str, Any]) -> torch.Tensor:
    import torch

    dtype, shape, content = torch_constant(_text(data["dtype"]), "dtype"), _shape(data["shape"]), _bytes(data["v"])
    if len(content) > LARGEST_TENSOR_BYTES or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"a tensor of an argument has {len(content)} bytes for shape {list(shape)} of {data['dtype']}")
    with torch.device("cpu"):
        flat = torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)
        tensor = flat.reshape(shape).clone()
    return torch.nn.Parameter(tensor, requires_grad=dtype.is_floating_point) if data.get("parameter") is True else tensor


def _placeholder(data: dict[str, Any]) -> torch.Tensor:
    import torch

    dtype, shape = torch_constant(_text(data["dtype"]), "dtype"), _shape(data["shape"])
    if math.prod(shape) * dtype.itemsize > LARGEST_PLACEHOLDER_BYTES:
        raise ValueError(f"an argument would need a tensor of shape {list(shape)}")
    tensor = torch.zeros(shape, dtype=dtype)
    floating = dtype.is_floating_point or dtype.is_complex
    return torch.nn.Parameter(tensor, requires_grad=floating) if data["~"] == "parameter" else tensor


def _numpy(data: dict[str, Any]) -> Any:
    import numpy as np

    dtype, shape, content = np.dtype(_text(data["dtype"])), _shape(data["shape"]), _bytes(data["v"])
    if dtype.hasobject or len(content) > LARGEST_TENSOR_BYTES or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError("an array of an argument does not have the bytes that its shape and dtype need")
    array = np.frombuffer(content, dtype).reshape(shape).copy()
    return array[()] if data.get("scalar") is True else array
