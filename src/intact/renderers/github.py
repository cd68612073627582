"""Findings as commands that GitHub's runner shows as annotations.

Source:
    GitHub documentation, "Workflow commands for GitHub Actions", setting a notice, warning or error message.
"""

from __future__ import annotations

from intact.core.report import Report

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report) -> str:
    """Returns a report as one command for each finding, and the verdict as a last one."""
    path = _property(report.source.path)
    lines = [
        f"::{_COMMANDS[finding.severity]} file={path},title={_property(finding.code)}::{_message(finding.headline)}"
        for finding in report.findings
    ]
    kind = "notice" if report.verdict == "intact" else "error"
    return "\n".join([*lines, f"::{kind} file={path},title=intact::{report.verdict}"])


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
