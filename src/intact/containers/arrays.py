"""NumPy arrays and scalars as pickles hold them, read without NumPy.

An array is a call of `_reconstruct` completed by a state of shape, dtype, order and bytes; a scalar is a call with a dtype and
its bytes. NumPy 1 and 2 write the same under different names.

Source:
    NumPy 2.3 `numpy/_core/src/multiarray/methods.c` (`array_setstate`) and `descriptor.c` (`arraydescr_setstate`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any

from intact.core.container import Foreign

DIMENSIONS_LIMIT = 64
_NAMES = {
    "b1": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128", "O8": "object",
    "O": "object",
}  # fmt: skip
_CODES = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f2": "e", "f4": "f",
          "f8": "d"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElementType:
    """The dtype of an array.

    Attributes:
        code: Kind and width as NumPy writes them (`f8`).
        byteorder: `<`, `>`, `|` or `=`.
        fields: What the state says beyond the byte order, for structured types.
    """

    code: str
    byteorder: str
    fields: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The usual name (`float64`)."""
        return _NAMES.get(self.code, self.code)


@dataclass(frozen=True, slots=True)
class Header:
    """One array, without its values.

    Attributes:
        dtype: Usual name of the element type.
        shape: Size of each dimension.
        element: The element type in full.
        fortran: Whether the first index runs fastest.
        content: Bytes, or a list of objects.
    """

    dtype: str
    shape: tuple[int, ...]
    element: ElementType
    fortran: bool
    content: Any


def element_type(value: Any) -> ElementType | None:
    """Returns the element type that a pickled `numpy.dtype` is, None for anything else."""
    if not isinstance(value, Foreign) or value.name != "numpy.dtype" or not value.args:
        return None
    code, state = _text(value.args[0]), value.state
    order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else "|"
    if len(code) > 16 or order not in ("<", ">", "|", "="):
        return None
    fields = tuple(state[2:]) if isinstance(state, tuple) and len(state) > 4 and state[4] is not None else ()
    return ElementType(code, order, fields)


def header(value: Foreign) -> Header | None:
    """Returns what a pickled array says of itself, None for anything that is no whole array."""
    parts = _parts(value)
    if parts is None:
        return None
    shape, dtype, fortran, content = parts
    element = element_type(dtype)
    if element is None or not isinstance(shape, tuple) or len(shape) > DIMENSIONS_LIMIT:
        return None
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        return None
    return Header(element.name, tuple(shape), element, bool(fortran), content) if _fits(content, element, shape) else None


def _parts(value: Foreign) -> tuple[Any, Any, Any, Any] | None:
    if value.name == "numpy.core.multiarray._reconstruct" and isinstance(value.state, tuple) and len(value.state) in (4, 5):
        return value.state[-4:]
    if value.name == "numpy.core.numeric._frombuffer" and value.args and len(value.args) == 4:
        content, dtype, shape, order = value.args
        return shape, dtype, order == "F", content
    return None


def raw_bytes(content: Any) -> bytes | bytearray | memoryview | None:
    """Returns the values of an array or scalar; Python 2 wrote them as text."""
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    return content if isinstance(content, (bytes, bytearray, memoryview)) else None


def scalar_of(value: Foreign) -> bool | int | float | str | None:
    """Returns the value of a pickled NumPy scalar of the usual types, None for anything else."""
    if value.name != "numpy.core.multiarray.scalar" or not value.args or len(value.args) != 2:
        return None
    element, raw = element_type(value.args[0]), raw_bytes(value.args[1])
    if element is None or raw is None or element.code not in _CODES:
        return None
    try:
        number: bool | int | float = struct.unpack_from((">" if element.byteorder == ">" else "<") + _CODES[element.code], raw)[0]
    except struct.error:
        return None
    return number


def _fits(content: Any, element: ElementType, shape: tuple[int, ...]) -> bool:
    if isinstance(content, list):
        return element.code in ("O8", "O4", "O") and len(content) == prod(shape)
    raw = raw_bytes(content)
    width = element.code[1:]
    if raw is None or element.fields or not width.isdecimal():
        return raw is not None
    item = int(width) * (4 if element.code[0] == "U" else 1)
    return len(raw) == prod(shape) * item


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else "?"
