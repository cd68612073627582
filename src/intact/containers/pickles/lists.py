"""The values of tensors that were pickled as nested Python lists, as torch did in its first releases.

Lists may share parts, so that a few bytes can stand for any number of elements; every visit is paid for.
"""

from __future__ import annotations

from array import array
from struct import pack
from sys import byteorder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

_CODES = {"float64": "d", "float32": "f", "int64": "q", "int32": "i", "int16": "h", "int8": "b", "uint8": "B"}
_NESTING_LIMIT = 32


def values_of_lists(machine: Machine, lists: list[Any], dtype: str) -> tuple[bytes, tuple[int, ...]] | None:
    """Returns the little-endian bytes and the shape of nested lists of numbers, None where they are ragged or of other things."""
    if dtype not in _CODES and dtype != "float16":
        return None
    level: list[Any] = lists
    shape = [len(level)]
    while level and isinstance(level[0], list):
        inner = len(level[0])
        machine.spend(8 * inner * len(level))
        if len(shape) >= _NESTING_LIMIT or not all(type(part) is list and len(part) == inner for part in level):
            return None
        level = [number for part in level for number in part]
        shape.append(inner)
    if not all(type(number) in (int, float, bool) for number in level):
        return None
    return _packed(level, dtype), tuple(shape)


def _packed(numbers: list[Any], dtype: str) -> bytes:
    if dtype == "float16":
        return pack(f"<{len(numbers)}e", *numbers)
    values = array(_CODES[dtype], numbers)
    if byteorder == "big":
        values.byteswap()
    return values.tobytes()
