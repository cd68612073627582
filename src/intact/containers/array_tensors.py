"""Arrays of a pickle as tensors, for files whose weights are NumPy arrays: converters and older frameworks write such files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from intact.containers import arrays
from intact.containers.memory import Held
from intact.core.container import Foreign, TensorRecord
from intact.core.dtype import dtype_named

DEPTH_LIMIT = 64
"""Mappings and sequences in one another that are looked into; real files have three."""


def with_tensors(value: Any, memory: Held) -> Any:
    """Returns the same nesting with tensor records in the place of arrays; as it is where it holds tensors already.

    Args:
        value: What a pickle holds; not changed.
        memory: Keeps the bytes of the arrays.
    """
    made: dict[int, Any] = {}
    return value if _holds_tensors(value, set(), 0) else _converted(value, memory, made, 0)


def _holds_tensors(value: Any, seen: set[int], depth: int) -> bool:
    if isinstance(value, TensorRecord):
        return True
    if depth > DEPTH_LIMIT or not isinstance(value, dict | list | tuple) or id(value) in seen:
        return False
    seen.add(id(value))
    members = value.values() if isinstance(value, dict) else value
    return any(_holds_tensors(member, seen, depth + 1) for member in members)


def _converted(value: Any, memory: Held, made: dict[int, Any], depth: int) -> Any:
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, Foreign):
        made[id(value)] = _record(value, memory)
        return made[id(value)]
    if depth > DEPTH_LIMIT or type(value) not in (dict, list, tuple):
        return value
    made[id(value)] = value  # one that holds itself is left as it is
    if isinstance(value, dict):
        result: Any = {key: _converted(member, memory, made, depth + 1) for key, member in value.items()}
    else:
        result = type(value)(_converted(member, memory, made, depth + 1) for member in value)
    made[id(value)] = result
    return result


def _record(value: Foreign, memory: Held) -> Foreign | TensorRecord:
    """The tensor that an array is; arrays of objects, texts and structures stay what they are."""
    header = arrays.header(value)
    raw = arrays.raw_bytes(header.content) if header is not None else None
    if header is None or raw is None or header.element.fields or dtype_named(header.dtype) is None:
        return value
    storage = memory.hold(bytes(raw), header.dtype)
    if header.element.byteorder == ">":
        storage = replace(storage, byteorder="big")
    sizes = header.shape if header.fortran else header.shape[::-1]
    steps, step = [], 1
    for size in sizes:
        steps.append(step)
        step *= max(size, 1)
    stride = tuple(steps if header.fortran else reversed(steps))
    return TensorRecord(storage, header.dtype, header.shape, stride)
