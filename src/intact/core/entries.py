"""Entries of a state dict that are no tensors, as typed JSON: what is a tuple comes back as a tuple.

Only plain data have a form here, and small tensors within them; an object of a class has none, because making it again would mean
to run the code of that class. What JSON has itself stands as it is; everything else is a mapping with one member, `$`-named.
Numbers of more than 64 bits are among that, because most JSON readers round them.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

DEEPEST = 32
"""Levels of nesting; extra states of large layers have two or three."""

MOST_BYTES = 1 << 20
"""Bytes of one tensor within an entry: counters and histories, not weights."""

MOST_DIMENSIONS = 64
"""Dimensions of such a tensor; numpy and torch stop there."""

SAME_HASH = 1_000
"""Most members of a set or mapping that share a hash: numbers can be chosen so that they do, and time grows with the square."""


class NoForm(ValueError):
    """A value that has no form in a sealed checkpoint; the message says which and where."""


def encode(value: Any, tensor: Callable[[Any], tuple[str, tuple[int, ...], bytes] | None], path: str = "", depth: int = 0) -> Any:
    """Returns a value as data that JSON has.

    Args:
        value: Plain data, with tensors in it.
        tensor: A value's dtype, shape and bytes, where it is a tensor; None for anything else.
        path: Where it stands, for the error.
        depth: How deep it stands.

    Raises:
        NoForm: There is a value of another kind in it.
    """
    if value is None or type(value) is bool:
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else {"$int": hex(value)}
    if type(value) is str:
        return value if is_unicode(value) else {"$str": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
    if depth > DEEPEST:
        raise NoForm(f"`{path}` is nested more than {DEEPEST} levels deep")

    def inner(member: Any, name: object) -> Any:
        return encode(member, tensor, f"{path}[{name!r}]", depth + 1)

    if type(value) is float:
        return (
            value
            if math.isfinite(value)
            else {"$float": "-nan" if value != value and math.copysign(1, value) < 0 else repr(value)}
        )
    if type(value) in (list, tuple, set, frozenset):
        items = [inner(member, number) for number, member in enumerate(value)]
        return items if type(value) is list else {f"${type(value).__name__}": items}
    if type(value) in (dict, OrderedDict):
        name = "$dict" if type(value) is dict else "$OrderedDict"
        return {name: [[inner(key, key), inner(member, key)] for key, member in value.items()]}
    if type(value) in (bytes, bytearray):
        return {f"${type(value).__name__}": base64.b64encode(value).decode()}
    if type(value) is complex:
        return {"$complex": [encode(value.real, tensor), encode(value.imag, tensor)]}
    return _tensor(value, tensor, path)


def is_unicode(text: str) -> bool:
    """Whether a text has a form in UTF-8: halves of surrogate pairs, which Python makes of undecodable names, have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tensor(value: Any, tensor: Callable[[Any], tuple[str, tuple[int, ...], bytes] | None], path: str) -> Any:
    made = tensor(value)
    if made is None:
        raise NoForm(f"`{path}` is a `{type(value).__module__}.{type(value).__qualname__}`")
    dtype, shape, content = made
    if len(content) > MOST_BYTES:
        raise NoForm(f"`{path}` is a tensor of {len(content):,} bytes, and {MOST_BYTES:,} are the limit within an entry")
    return {"$tensor": [dtype, list(shape), base64.b64encode(content).decode()]}


def decode(data: Any, tensor: Callable[[str, tuple[int, ...], bytes], Any], depth: int = 0) -> Any:
    """Returns the value that `encode` was given.

    Args:
        data: From a file.
        tensor: Makes a tensor of dtype, shape and bytes; raises ValueError where they do not agree.
        depth: How deep it stands.

    Raises:
        ValueError: The data are malformed.
    """
    if depth > 2 * DEEPEST:
        raise ValueError("an entry is nested too deeply")
    if isinstance(data, list):
        return [decode(member, tensor, depth + 1) for member in data]
    if not isinstance(data, Mapping):
        return data
    if len(data) != 1:
        raise ValueError("an entry is malformed")
    ((name, content),) = data.items()
    if name not in _FORMS:
        raise ValueError(f"an entry has a value of an unknown kind, {name[:50]!r}")
    try:
        return _FORMS[name](content, lambda member: decode(member, tensor, depth + 1), tensor)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"an entry is malformed: {error}") from None


def _pairs(content: Any, inner: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    pairs = [(inner(key), inner(member)) for key, member in content]
    _distinct(key for key, _ in pairs)
    return pairs


def _distinct(members: Iterable[Any]) -> list[Any]:
    """Returns members that a set or mapping can hold without taking for ever."""
    listed = list(members)
    if len(listed) > SAME_HASH and max(Counter(map(hash, listed)).values()) > SAME_HASH:
        raise ValueError("its members are chosen so that they share a hash")
    return listed


def _complex(content: Any, inner: Callable[[Any], Any]) -> complex:
    real, imaginary = content
    return complex(inner(real), inner(imaginary))


def _tensor_of(content: Any, tensor: Callable[[str, tuple[int, ...], bytes], Any]) -> Any:
    dtype, shape, text = content
    if not isinstance(dtype, str) or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise ValueError("a tensor within it has no dtype or shape")
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"a tensor within it has {len(shape):,} dimensions, and {MOST_DIMENSIONS} are the limit")
    return tensor(dtype, tuple(shape), base64.b64decode(text, validate=True))


_FORMS: dict[str, Callable[[Any, Callable[[Any], Any], Any], Any]] = {
    "$float": lambda content, inner, tensor: float(content),  # noqa: ARG005
    "$int": lambda content, inner, tensor: int(content, 16),  # noqa: ARG005
    "$str": lambda content, inner, tensor: base64.b64decode(content, validate=True).decode("utf-8", "surrogatepass"),  # noqa: ARG005
    "$tuple": lambda content, inner, tensor: tuple(map(inner, content)),  # noqa: ARG005
    "$set": lambda content, inner, tensor: set(_distinct(map(inner, content))),  # noqa: ARG005
    "$frozenset": lambda content, inner, tensor: frozenset(_distinct(map(inner, content))),  # noqa: ARG005
    "$dict": lambda content, inner, tensor: dict(_pairs(content, inner)),  # noqa: ARG005
    "$OrderedDict": lambda content, inner, tensor: OrderedDict(_pairs(content, inner)),  # noqa: ARG005
    "$bytes": lambda content, inner, tensor: base64.b64decode(content, validate=True),  # noqa: ARG005
    "$bytearray": lambda content, inner, tensor: bytearray(base64.b64decode(content, validate=True)),  # noqa: ARG005
    "$complex": lambda content, inner, tensor: _complex(content, inner),  # noqa: ARG005
    "$tensor": lambda content, inner, tensor: _tensor_of(content, tensor),  # noqa: ARG005
}
