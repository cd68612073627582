"""NumPy arrays, scalars and dtypes from their inert records: numbers and text only, never objects.

Source:
    NumPy 2.4 `ndarray.__reduce__`, `dtype.__reduce__`, `numpy._core.multiarray.scalar`; the same since NumPy 1.
"""

from __future__ import annotations

from math import prod
from typing import Any

from intact.containers.arrays import ElementType, element_type, header, raw_bytes
from intact.core.container import Foreign

_KINDS = "biufcSUV"
"""Kinds of plain bytes; objects and dates are left as records."""


def array_of(record: Foreign) -> Any:
    """Returns the array, scalar or dtype that a record stands for, or the record where it holds anything but plain numbers."""
    try:
        made = _made(record)
    except (TypeError, ValueError, OverflowError):
        return record
    return record if made is None else made


def number_of(value: Any) -> Any:
    """Returns the Python number that a NumPy scalar is; any other value as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        plain = value.item()
        return plain if isinstance(plain, bool | int | float | complex | str) else value
    return value


def _made(record: Foreign) -> Any:
    if record.name == "numpy.dtype":
        return _dtype(element_type(record))
    if record.name == "numpy.core.multiarray.scalar" and record.args and len(record.args) == 2:
        array = _array(record.args[1], _dtype(element_type(record.args[0])), (), fortran=False)
        return None if array is None else array[()]
    if record.name == "numpy.core.numeric._frombuffer" and record.args and len(record.args) >= 4:
        raw, element, shape, order = record.args[:4]
        return _array(raw, _dtype(element_type(element)), shape, fortran=order == "F")
    whole = header(record)
    return _array(whole.content, _dtype(whole.element), whole.shape, fortran=whole.fortran) if whole else None


def _dtype(element: ElementType | None) -> Any:
    import numpy as np

    if element is None or element.fields or element.code[:1] not in _KINDS or not element.code[1:].isdecimal():
        return None
    return np.dtype(("" if element.byteorder == "|" else element.byteorder) + element.code)


def _array(content: Any, dtype: Any, shape: Any, *, fortran: bool) -> Any:
    import numpy as np

    raw = raw_bytes(content)
    if dtype is None or raw is None or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return None
    if prod(shape) * dtype.itemsize != len(raw):
        return None
    return (
        np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C").copy(order="K")
        if len(raw)
        else np.empty(shape, dtype)
    )
