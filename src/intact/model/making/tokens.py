"""One hashable token for any value, equal for two values just where nothing tells them apart but their identity.

Functions count as equal when code, defaults and closure do, objects when class and attributes do, modules of the model by where
they stand. Everything is bounded, and what cannot be looked into is known by its class alone. Nothing of the user's is called.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import pathlib
import re
import types
import weakref
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST_VALUES = 200_000
"""Values looked at for one model; a configuration has hundreds, a vocabulary kept as an attribute has tens of thousands."""

MOST_DEPTH = 24
"""Nesting of values; the deepest configurations have about six levels."""

_IMMEDIATE = frozenset({int, bool, str, bytes, type(None), complex, range, type(Ellipsis)})
_AS_THEY_ARE = (type, types.BuiltinFunctionType, types.ModuleType, Enum)
_WITH_VALUE = (
    pathlib.PurePath, re.Pattern, decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta,
)  # fmt: skip
_METHODS = (types.MethodType, types.MethodWrapperType)

TensorToken = Callable[["torch.Tensor"], Any]


class Tokens:
    """Makes tokens for the values of one model.

    Args:
        places: What to write for objects that are known by where they stand, by identity.
        tensor_token: What to write for a tensor that stands nowhere.
    """

    def __init__(self, places: Mapping[int, Any], tensor_token: TensorToken) -> None:
        import torch

        self._tensor = torch.Tensor
        self._places = places
        self._tensor_token = tensor_token
        self._seen: dict[int, Any] = {}
        self._place: Any = None
        self._number = 0
        self._kept: list[Any] = []
        self._count = 0

    def at(self, place: Any) -> None:
        """Says where the following values stand: what is seen again is named by the place and order in which it was seen first.

        So one attribute more or less does not give another name to everything after it.
        """
        self._place, self._number = place, 0

    def of(self, value: Any, depth: int = 0) -> Any:
        """Returns the token of a value."""
        cls = type(value)
        if cls in _IMMEDIATE:
            return (cls, value)
        if cls is float:
            return (cls, "nan" if value != value else value)
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_VALUES:
            return ("unseen", cls)
        if id(value) in self._places:
            return self._places[id(value)]
        if isinstance(value, self._tensor):
            return self._tensor_token(value)
        if isinstance(value, tuple):
            return (cls, *[self.of(item, depth + 1) for item in value])
        if isinstance(value, _AS_THEY_ARE):
            return value
        return self._named(value, depth) if id(value) not in self._seen else ("seen", self._seen[id(value)])

    def _named(self, value: Any, depth: int) -> Any:
        """A value that may contain itself: it gets a number before one looks into it."""
        self._seen[id(value)] = (self._place, self._number)
        self._number += 1
        self._kept.append(value)
        cls = type(value)
        if isinstance(value, Mapping) and isinstance(value, dict | types.MappingProxyType):
            rows = [(self.of(key, depth + 1), self.of(item, depth + 1)) for key, item in _rows(value)]
            return (cls, *rows, *self._attributes(value, depth))
        if isinstance(value, list):
            return (cls, *[self.of(item, depth + 1) for item in value], *self._attributes(value, depth))
        if isinstance(value, set | frozenset):
            return (cls, frozenset(self.of(item, depth + 1) for item in value))
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        return self._other(value, depth)

    def _function(self, value: types.FunctionType, depth: int) -> Any:
        from intact.model.making.references import reference_of

        if reference_of(value) is not None:
            return value
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        inner = [self.of(item, depth + 1) for item in (value.__defaults__, value.__kwdefaults__, cells)]
        return ("function", value.__code__, *inner)

    def _other(self, value: Any, depth: int) -> Any:
        cls = type(value)
        if isinstance(value, functools.partial):
            return (cls, *[self.of(item, depth + 1) for item in (value.func, value.args, value.keywords)])
        if isinstance(value, _METHODS):
            name = getattr(value, "__name__", "")
            return (cls, name, self.of(value.__self__, depth + 1))
        if isinstance(value, weakref.ref):
            return (cls,)
        if isinstance(value, slice):
            return (cls, self.of((value.start, value.stop, value.step), depth + 1))
        if isinstance(value, _WITH_VALUE):
            return (cls, value)
        return self._foreign(value, depth)

    def _foreign(self, value: Any, depth: int) -> Any:
        import torch

        cls = type(value)
        if isinstance(value, torch.device):
            return ("device", str(value))
        if isinstance(value, torch.utils.hooks.RemovableHandle):
            return (cls,)
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return value
        if cls.__module__ == "numpy":
            return _numpy_token(value)
        return (cls, *self._attributes(value, depth))

    def _attributes(self, value: Any, depth: int) -> tuple[Any, ...]:
        """Name and token of each attribute, those in slots included."""
        held = dict(getattr(value, "__dict__", ()) or ())
        for cls in type(value).__mro__[:-1]:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else tuple(slots):
                member = cls.__dict__.get(name)
                if isinstance(member, types.MemberDescriptorType) and name not in held and hasattr(value, name):
                    held[name] = getattr(value, name)
        return tuple((name, self.of(held[name], depth + 1)) for name in sorted(held, key=str))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _numpy_token(value: Any) -> Any:
    """An array by its dtype, shape and bytes up to a mebibyte; a scalar by its value."""
    cls, dtype = type(value), str(getattr(value, "dtype", ""))
    if not hasattr(value, "tobytes") or dtype == "object":
        return (cls, dtype)
    return (cls, dtype, tuple(value.shape), hash(value.tobytes()) if value.nbytes <= 1 << 20 else None)


def _rows(value: Any) -> Any:
    """The entries of a dict as they are, past what a subclass may have made of `items`."""
    return dict.items(value) if isinstance(value, dict) else value.items()


def hashable(token: Any) -> bool:
    """Tells whether a token can be looked up: classes of the user's may refuse to be hashed."""
    try:
        hash(token)
    except TypeError:
        return False
    return True


def alike(first: Any, second: Any) -> bool:
    """Tells whether nothing but their identity tells two values apart; tensors by dtype and shape."""
    return bool(Tokens({}, shape_token).of(first) == Tokens({}, shape_token).of(second))


def shape_token(tensor: torch.Tensor) -> Any:
    """Returns what is known of a tensor without its values."""
    import torch

    return ("tensor", tensor.dtype, None if torch.nn.parameter.is_lazy(tensor) else tuple(tensor.shape))
