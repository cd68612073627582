"""What the command's exit status says. Scripts rely on these numbers; the table in the documentation is generated from here."""

from __future__ import annotations

from enum import IntEnum

from intact.errors import IntactError


class Status(IntEnum):
    """Exit status of the command."""

    FINE = 0
    NOT_INTACT = 1
    COULD_NOT_LOOK = 2
    INTERRUPTED = 130


MEANING = {
    Status.FINE: "intact, or better than the verdict that --fail-on names; for `repair`: written and verified",
    Status.NOT_INTACT: "any other verdict; for `repair`: refused, nothing was written",
    Status.COULD_NOT_LOOK: "wrong usage, no such file, a model that cannot be built, or an error of intact itself",
    Status.INTERRUPTED: "interrupted by Ctrl-C",
}
"""Each status in words."""


def status_of(error: IntactError) -> Status:
    """Returns the status of an error: one that names a cause, or that carries a report, is a verdict on the checkpoint."""
    return Status.NOT_INTACT if error.code or error.report is not None else Status.COULD_NOT_LOOK
