"""Report formats: each turns a report into text. A format is one file here and one row of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from intact.plugins import Table

if TYPE_CHECKING:
    from intact.core.report import Report


class Renderer(Protocol):
    """Report to text."""

    def __call__(self, report: Report, /) -> str:
        """Returns the report in the renderer's format."""
        ...


RENDERERS: Table[Renderer] = Table(
    "intact.renderers",
    {
        "text": "intact.renderers.text:render",
        "json": "intact.renderers.json:render",
        "html": "intact.renderers.html:render",
        "sarif": "intact.renderers.sarif:render",
        "github": "intact.renderers.github:render",
        "junit": "intact.renderers.junit:render",
    },
)
"""Formats by the name that `--output-format` takes."""
