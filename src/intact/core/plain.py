"""Plain data as JSON that every reader accepts, whatever a file put into it.

The text is pure ASCII: names from a file that a terminal would obey stay harmless, and every consumer can decode it. Numbers that
JSON does not have (infinities and NaN, in the evidence of a cast) are written as strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Returns plain data as JSON text."""
    return json.dumps(plain(data), indent=indent, allow_nan=False)


def plain(data: Any) -> Any:
    """Returns data of JSON's own types; evidence may hold sets, tuples and numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, set | frozenset):
        return sorted((plain(value) for value in data), key=str)
    if isinstance(data, float):
        return data if math.isfinite(data) else str(data)
    return data if data is None or isinstance(data, bool | int | str) else str(data)
