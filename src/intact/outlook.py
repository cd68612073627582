"""A checkpoint alone: what it is and what it holds, without a model, without rules, and so without waiting.

`intact inspect` ends here. What a container noticed while it was opened (trailing bytes, an index that disagrees) becomes a
finding, and so does the reason why a file cannot be opened at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from intact.containers import misnamed, open_container
from intact.core.collecting import collector_paused
from intact.core.container import Container
from intact.core.finding import Finding, Severity
from intact.core.remark import Remark
from intact.core.report import Report
from intact.errors import IntactError
from intact.harm import code_execution
from intact.repairs.rewrite import Rewrite

_TORCH = (".pt", ".pth", ".bin", ".ckpt")
"""Endings that people give to what torch.save wrote."""


@collector_paused()
def describe(path: str | os.PathLike[str]) -> Report:
    """Returns the report on what a checkpoint holds.

    Raises:
        CannotRead: It is no checkpoint that can be read.
    """
    container = open_container(path)
    try:
        found = container.describe()
        return Report(container.source, None, notes_of(container), found=found)
    finally:
        container.close()


def notes_of(container: Container) -> tuple[Finding, ...]:
    """Returns what a container noticed without being hindered by it."""
    notes: tuple[IntactError, ...] = getattr(container, "notes", ())
    remarks: tuple[Remark, ...] = getattr(container, "remarks", ())
    return (
        *(_finding_of_remark(remark, container.source.container) for remark in remarks),
        *(finding_of(note, "warning") for note in notes),
        *_of_name(container),
    )


def _of_name(container: Container) -> Iterator[Finding]:
    """What is to be said of a file whose name promises another format; a sealed one may have any name that its owner gave it."""
    source = container.source
    name = Path(source.path).name
    if (
        source.files != (name,)
        or source.container == "sealed"
        or Path(source.path).suffix.lower() not in (".safetensors", *_TORCH)
    ):
        return
    torch_name = Path(name).suffix.lower() in _TORCH
    if torch_name == (source.container == "safetensors"):
        yield Finding(
            "file/misnamed-format",
            "error",
            f"{misnamed(source.path, source.container) or name}; programs that go by the name fail on it",
            evidence={"name": name, "container": source.container},
            cause="it was renamed or downloaded under the name of another format; nothing in it is wrong",
            help="rename it to what it is; intact reads it as it is",
            step=Rewrite(source.container),
        )


def _finding_of_remark(remark: Remark, container: str) -> Finding:
    return Finding(
        remark.code,
        remark.severity,
        remark.headline,
        remark.keys,
        remark.evidence,
        cause=remark.cause,
        help=remark.help,
        step=Rewrite(str(remark.evidence.get("archive") or container)) if remark.opened else None,
    )


def danger_of(error: IntactError) -> tuple[Finding, ...]:
    """Returns what stands in a file that could not be read to its end, and would do harm to whoever unpickles it."""
    dangers = error.evidence.get("dangers")
    if not isinstance(dangers, dict) or not dangers:
        return ()
    return (code_execution([(name, position, "") for name, position in dangers.items()], whole=False),)


def finding_of(error: IntactError, severity: Severity) -> Finding:
    """Returns a typed error as the finding that a report prints."""
    return Finding(error.code, severity, error.message, evidence=error.evidence, help=error.help)
