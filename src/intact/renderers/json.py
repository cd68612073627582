"""A report as JSON, complete and in the schema that its `schema` field numbers."""

from __future__ import annotations

from typing import Any

from intact.core.plain import json_text
from intact.core.report import Report
from intact.errors import IntactError


def render(report: Report) -> str:
    """Returns the report as JSON text."""
    return dumps(report.to_dict())


def dumps(data: Any) -> str:
    """Returns plain data as JSON text that every JSON reader accepts."""
    return json_text(data, indent=2)


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
