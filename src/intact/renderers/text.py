"""A report as plain text, as STYLE prints it."""

from __future__ import annotations

from intact.core.report import Report


def render(report: Report) -> str:
    """Returns the report as text."""
    return "\n".join([f"{report.verdict}: {report.source.path}", *(f"{f.code}: {f.headline}" for f in report.findings)])
