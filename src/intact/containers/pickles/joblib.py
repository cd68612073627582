"""Arrays as joblib writes them: an inert record of the header in the pickle, and the numbers raw in the stream behind it.

Source:
    joblib 1.5 `numpy_pickle.py` (`NumpyArrayWrapper`): behind the opcode that completes the record stands, since 1.2, one byte
    that says how many bytes of filling follow, then the numbers; an array of objects is a pickle of its own there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from intact.core.container import Foreign

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

WRAPPER = re.compile(r"(?:[\w.]+\.)?joblib\.numpy_pickle\.NumpyArrayWrapper")
"""The class, in joblib itself or in a copy within another package."""

ARRAY = "numpy.core.multiarray._reconstruct"
_LARGEST = (1 << 63) - 1

Nested = Callable[["Machine", int], tuple[Any, int]]


def array_behind(machine: Machine, wrapper: Foreign, at: int, nested: Nested) -> tuple[Foreign, int]:
    """Returns the array whose header was just read, and the position behind its numbers.

    Args:
        machine: It stands behind the header.
        wrapper: The header.
        at: Position of the next byte.
        nested: Reads a pickle at a position, for arrays of objects.

    Raises:
        Damaged: The numbers are not all there.
        TypeError: The header is none of joblib's.
    """
    from intact.containers.arrays import element_type

    state = wrapper.state
    if not isinstance(state, dict):
        raise TypeError("a header without a state")
    shape, element = state.get("shape"), element_type(state.get("dtype"))
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size <= _LARGEST for size in shape) or element is None:
        raise TypeError("a header without a shape or dtype")
    fortran = state.get("order") == "F"
    content: Any
    if element.code[:1] == "O" or element.fields:
        if element.code[:1] != "O":
            raise TypeError("an array of records")
        inner, at = nested(machine, at)
        return (inner if isinstance(inner, Foreign) else Foreign(ARRAY, (), (1, shape, state.get("dtype"), fortran, [inner]))), at
    if state.get("numpy_array_alignment_bytes") is not None:
        at += 1 + machine.take(at, 1)[0]
    width = element.code[1:]
    if not width.isdecimal():
        raise TypeError("a dtype without a width")
    size = prod(shape) * int(width) * (4 if element.code[0] == "U" else 1)
    content = machine.take(at, size)
    machine.spend(64)
    return Foreign(ARRAY, (state.get("subclass"), (0,), b"b"), (1, shape, state.get("dtype"), fortran, content)), at + size
