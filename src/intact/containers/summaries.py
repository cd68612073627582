"""Short forms of values for people: one line for anything, however large, nested or strange it is.

Nothing here recurses into a value or prints more of it than fits a line.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from intact.containers import arrays
from intact.containers.pickles import GlobalName
from intact.core.container import Foreign, Storage, TensorRecord
from intact.core.dtype import dtype_named

SCALARS = frozenset({int, float, bool, str, bytes, complex, type(None)})
"""Types of plain values that hold nothing else."""
_TEXT_LIMIT = 80
_SHOWN_ITEMS = 6
_BITS_SHOWN = 256
_KEY_PARTS_LIMIT = 16


def key_text(key: Any) -> str:
    """Returns the key of a mapping as part of a path; what `str` gives for plain ones."""
    if type(key) is str:
        return key
    if type(key) is int:
        return _number(key)
    if isinstance(key, Foreign):
        return key.name
    if isinstance(key, TensorRecord):
        return "<tensor>"
    if isinstance(key, tuple):
        parts = [repr(part) if type(part) is str else _part(part) for part in key[:_KEY_PARTS_LIMIT]]
        more = ["…"] if len(key) > _KEY_PARTS_LIMIT else []
        return f"({', '.join(parts + more)}{',' if len(key) == 1 else ''})"
    return str(key) if type(key) in SCALARS else f"<{type(key).__name__}>"


def _part(part: Any) -> str:
    return "(…)" if isinstance(part, tuple) else key_text(part)


def kind_and_text(value: Any) -> tuple[str, str]:
    """Returns the kind of a value and its short form."""
    if isinstance(value, Foreign):
        return _of_object(value)
    if isinstance(value, Storage):
        return "storage", _of_storage(value)
    if type(value) in SCALARS:
        return type(value).__name__, _scalar(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value).__name__.lower(), _of_items(value)
    if isinstance(value, dict):
        return "dict", f"{len(value)} entries" if value else "empty"
    if isinstance(value, (bytearray, memoryview)):
        return "bytes", f"{len(value):,} bytes"
    return type(value).__name__, type(value).__name__


def _of_object(value: Foreign) -> tuple[str, str]:
    if isinstance(value, GlobalName):
        return (
            ("dtype", value.dtype) if value.dtype and value.name == f"torch.{value.dtype}" else ("name", value.name[:_TEXT_LIMIT])
        )
    array = arrays.header(value)
    if array is not None:
        return "ndarray", f"{array.dtype} {list(array.shape)}"
    number = arrays.scalar_of(value)
    if number is not None:
        return "numpy scalar", f"{number:.80}" if isinstance(number, str) else _scalar(number)
    return "object", value.name[:_TEXT_LIMIT]


def _of_storage(value: Storage) -> str:
    known = dtype_named(value.dtype)
    return f"{value.dtype}, {value.size_bytes // (known.itemsize_bytes if known else 1):,} elements"


def _of_items(value: Any) -> str:
    if not value:
        return "empty"
    shown = [_scalar(item) if type(item) in SCALARS else f"<{type(item).__name__}>" for item in islice(value, _SHOWN_ITEMS)]
    if len(value) <= _SHOWN_ITEMS:
        return f"[{', '.join(shown)}]"
    return f"[{', '.join(shown)}, …] ({len(value):,} items)"


def _scalar(value: Any) -> str:
    if type(value) is str:
        return repr(value[:_TEXT_LIMIT]) if len(value) <= _TEXT_LIMIT else f"{value[:_TEXT_LIMIT]!r}… ({len(value):,} characters)"
    if type(value) is bytes:
        return f"{len(value):,} bytes"
    return _number(value) if type(value) is int else str(value)


def _number(value: int) -> str:
    """Returns the decimal digits of a number, its length where it is so long that printing it would take forever."""
    return str(value) if value.bit_length() <= _BITS_SHOWN else f"<integer of {value.bit_length():,} bits>"
