"""What intact raises when it cannot do what was asked. A bad checkpoint is a result of `check`, not an exception.

IntactError                      base of everything below; carries code, path and, where there is one, report
├── CannotRead                   the bytes are no checkpoint that can be read
│   ├── Damaged                  bytes are missing or changed (file/truncated, file/bad-header, …)
│   ├── NotACheckpoint           it is something else (file/web-page, file/foreign-format, …)
│   └── TooLarge                 reading it would take more than the declared bounds (safety/archive-bomb)
├── LoadRefused                  the load would lose something or cannot be done; the model is as it was
├── ReadBackFailed               the model did not hold the planned values afterwards; it was put back
├── ModelError                   the user's own model factory cannot be used
└── MissingDependency            an optional library is needed; says which extra to install

CheckpointWarning                a load that worked, and is probably not what was meant; carries the report
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intact.core.report import Report


class IntactError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: Name of the cause (`file/truncated`), "" where no cause of a checkpoint is behind it.
        path: The file or folder it is about, "" where there is none.
        evidence: Figures and names as plain data.
        help: What to do.
        report: The report, where there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        path: str = "",
        evidence: Mapping[str, Any] | None = None,
        help: str = "",  # noqa: A002 - the word of every report
        report: Report | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.path = path
        self.evidence: dict[str, Any] = dict(evidence or {})
        self.help = help
        self.report = report

    def __str__(self) -> str:
        """The error as a finding prints: code and message, then path and help."""
        lines = [f"{self.code}: {self.message}" if self.code else self.message]
        if self.path:
            lines.append(f"  file      {self.path}")
        if self.help:
            lines.append(f"  help      {self.help}")
        return "\n".join(lines)


class CannotRead(IntactError):
    """The bytes are no checkpoint that can be read."""


class Damaged(CannotRead):
    """Bytes are missing or changed, or the structure contradicts itself."""


class NotACheckpoint(CannotRead):
    """The file is something else than a checkpoint."""


class TooLarge(CannotRead):
    """Reading would take more time or memory than the declared bounds."""


class LoadRefused(IntactError):
    """The load would lose something, or cannot be done; the model is bit for bit as before."""

    def __str__(self) -> str:
        """The message and the whole report."""
        return f"{super().__str__()}\n\n{self.report}" if self.report else super().__str__()


class ReadBackFailed(IntactError):
    """After the load the model did not hold the planned values; it was put back as it was."""


class ModelError(IntactError):
    """The model factory that the user named cannot be found, imported or called."""


class MissingDependency(IntactError):
    """An optional library is needed for what was asked."""


class CheckpointWarning(UserWarning):
    """A load worked, and something is probably not what was meant.

    Attributes:
        report: What was found.
    """

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report
