"""Where and how the command says what it found: report on stdout, the rest on stderr, colours and width for terminals only.

A reader that goes away (`intact check … | head`) ends the output, not the work: the exit status stays what the report calls for.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from intact.cli.status import Status, status_of
from intact.errors import IntactError

if TYPE_CHECKING:
    from intact.core.report import Report

Color = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class Output:
    """How this run of the command says things.

    Attributes:
        format: Name of a renderer.
        color: What the user asked for.
        quiet: Whether one line is enough.
    """

    format: str = "text"
    color: Color = "auto"
    quiet: bool = False

    @property
    def drawing(self) -> dict[str, Any]:
        """Width and colour for stdout, as the text renderers take them."""
        import shutil

        terminal = _is_terminal(sys.stdout)
        width = shutil.get_terminal_size().columns if terminal else None
        return {"width": width, "color": wants_color(self.color, terminal)}

    def report(self, report: Report) -> None:
        """Prints a report in the format asked for."""
        if self.format == "text":
            from intact.renderers import text

            say(text.verdict_line(report) if self.quiet else text.render(report, **self.drawing))
        else:
            from intact.renderers import RENDERERS

            say(RENDERERS[self.format](report))

    def data(self, data: Any) -> None:
        """Prints plain data as JSON."""
        from intact.renderers.json import dumps

        say(dumps(data))

    def failure(self, error: IntactError) -> Status:
        """Prints an error as a finding prints, and returns the exit status that it calls for."""
        if self.format == "json":
            from intact.renderers.json import error_to_dict

            self.data(error_to_dict(error))
            return status_of(error)
        from intact.renderers import text

        if error.report is not None:
            self.report(error.report)
        aside(text.error_text(error, color=wants_color(self.color, _is_terminal(sys.stderr))))
        return status_of(error)

    def accident(self, error: Exception) -> Status:
        """Prints an error that nobody foresaw, with its traceback only where the user asked for it."""
        if os.environ.get("INTACT_DEBUG", "0") not in ("", "0"):
            import traceback

            aside(traceback.format_exc())
        from intact import __version__

        foreseen = IntactError(
            f"intact itself failed: {type(error).__name__}: {error}",
            help=f"this is a mistake of intact {__version__}, please report it; INTACT_DEBUG=1 shows where it happened",
        )
        return self.failure(foreseen)


def wants_color(color: Color, terminal: bool) -> bool:
    """Tells whether to use colours: the option first, then NO_COLOR, then FORCE_COLOR, then what stands behind the stream.

    Source:
        https://no-color.org and https://force-color.org: a variable that is present and not empty counts.
    """
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or (terminal and os.environ.get("TERM") != "dumb")


def say(text: str) -> None:
    """Prints on stdout; a reader that has gone away is no error."""
    _print(text, sys.stdout)


def aside(text: str) -> None:
    """Prints on stderr what is no part of the report."""
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    try:
        click.echo(text, file=stream, color=True)
        stream.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes the stream at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_terminal(stream: TextIO) -> bool:
    return bool(getattr(stream, "isatty", bool)())
