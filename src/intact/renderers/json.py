"""A report as JSON, complete and in the schema that its `schema` field numbers.

The text is pure ASCII: names from a file that a terminal would obey stay harmless, and every consumer can decode it. Numbers that
JSON does not have (infinities and NaN, in the evidence of a cast) are written as strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from intact.core.report import Report
from intact.errors import IntactError


def render(report: Report) -> str:
    """Returns the report as JSON text."""
    return dumps(report.to_dict())


def dumps(data: Any) -> str:
    """Returns plain data as JSON text that every JSON reader accepts."""
    return json.dumps(_plain(data), indent=2, allow_nan=False)


def error_to_dict(error: IntactError) -> dict[str, Any]:
    """Returns an error as plain data, with its report where it has one."""
    said = {
        "type": type(error).__name__,
        "code": error.code,
        "message": error.message,
        "path": error.path,
        "evidence": error.evidence,
        "help": error.help,
    }
    return {"error": said, **({"report": error.report.to_dict()} if error.report is not None else {})}


def _plain(data: Any) -> Any:
    """Returns data of JSON's own types; evidence may hold sets, tuples and numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, set | frozenset):
        return sorted((_plain(value) for value in data), key=str)
    if isinstance(data, float):
        return data if math.isfinite(data) else str(data)
    return data if data is None or isinstance(data, bool | int | str) else str(data)
