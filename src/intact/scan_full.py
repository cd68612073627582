"""One file looked at with the readers of all containers: what its pickles name, and what about it is made to deceive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from intact.containers import open_single
from intact.containers.pickles.dangers import grade
from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.wording import count, some
from intact.errors import CannotRead, Damaged, IntactError
from intact.harm import code_execution
from intact.outlook import danger_of, finding_of, notes_of

if TYPE_CHECKING:
    from intact.scanning import State

_NOTHING_TO_FIND = ("file/not-a-checkpoint", "file/foreign-format", "file/empty", "file/web-page", "file/lfs-pointer")
_SAID = ("safety/", "file/duplicate-entry")
"""Codes of findings that a scan tells; all others are for `intact check`."""


def looked_at(path: str, head: bytes) -> tuple[State, str, tuple[dict[str, Any], ...]]:
    """Returns what was found in a file.

    Args:
        path: The file.
        head: Its first bytes.
    """
    from contextlib import closing

    try:
        if head[:1] == b"\x80" and b"Metadata" in head and (b"checkpoint.metadata" in head or b"dist_checkpointing" in head):
            return _of_metadata(path)
        with closing(open_single(path)) as container:
            found = container.describe()
            findings = [
                *_dangerous(found),
                *_unknown(found),
                *(note for note in notes_of(container) if note.code.startswith(_SAID)),
            ]
            return _state_of(findings), container.source.container, tuple(map(_plain, findings))
    except CannotRead as error:
        return _of_error(error)
    except IntactError as error:
        return "unreadable", "", (_plain(finding_of(error, "error")),)


def _of_metadata(path: str) -> tuple[State, str, tuple[dict[str, Any], ...]]:
    """The metadata of a distributed checkpoint, by themselves: their parts are files of their own."""
    from intact.containers.dcp_metadata import read_metadata
    from intact.files.reading import BoundedFile

    with BoundedFile(path) as file:
        foreign = read_metadata(file).unpickled.foreign
    found = Description(tensors={}, foreign=tuple(name for name in foreign if not name.name.startswith("torch.distributed.")))
    findings = [*_dangerous(found), *_unknown(found)]
    return _state_of(findings), "dcp", tuple(map(_plain, findings))


def _dangerous(found: Description) -> Iterator[Finding]:
    rows = [(n.name, n.position, n.place) for n in found.foreign if grade(n.name, called=n.called) == "dangerous"]
    if rows:
        yield code_execution(rows)


def _unknown(found: Description) -> Iterator[Finding]:
    """Names of which nothing is known; whether their modules are here does not matter to who else may load the file."""
    names = [name for name in found.foreign if grade(name.name, called=name.called) == "unknown"]
    if names:
        called = "calls" if any(name.called for name in names) else "names"
        yield Finding(
            "safety/unknown-global",
            "warning",
            f"unpickling it {called} {count(len(names), 'name')} that are not known: {some([name.name for name in names])}",
            evidence={"names": {name.name: {"position": name.position, "place": name.place} for name in names}},
            help="look at what they are before it is unpickled; intact reads its tensors without them",
        )


def _of_error(error: CannotRead) -> tuple[State, str, tuple[dict[str, Any], ...]]:
    dangers = danger_of(error)
    if dangers:
        return "unsafe", "", tuple(map(_plain, dangers))
    if error.code.startswith("safety/"):
        return "unsafe", "", (_plain(finding_of(error, "error")),)
    if error.code in _NOTHING_TO_FIND or not error.code:
        return ("other", "", ()) if error.code else ("unreadable", "", (_plain(finding_of(error, "error")),))
    if isinstance(error, Damaged):
        return "damaged", "", (_plain(finding_of(error, "error")),)
    return "other", "", ()


def _state_of(findings: list[Finding]) -> State:
    if any(finding.severity == "error" for finding in findings):
        return "unsafe"
    return "suspect" if any(finding.severity == "warning" for finding in findings) else "clean"


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "headline": finding.headline,
        "evidence": dict(finding.evidence),
        "help": finding.help,
    }
