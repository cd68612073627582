"""A model from nothing but a sealed checkpoint and its class: rebuilt from the recorded arguments, loaded, verified.

What the record cannot promise is said: a class whose source or defaults changed since, a table outside of the state dict that
comes out otherwise. Nothing that a file names is imported because the file names it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intact.containers import open_container
from intact.core.architecture import Architecture
from intact.core.finding import Finding
from intact.core.manifest import Manifest
from intact.core.report import Report
from intact.errors import CheckpointWarning, LoadRefused
from intact.model.modes import mode_of, set_mode

if TYPE_CHECKING:
    import torch


KNOWN_THEN = frozenset({"behaviour/nondeterministic"})
"""What was said when the model was saved, and is no news."""

MEMORY_FACTOR = 4
"""How many times the bytes of its checkpoint a rebuilt model may take: for weights saved in half precision, and tables."""

MEMORY_BYTES = 64 << 20
"""What it may take in any case: tables that are computed and not saved."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a sealed checkpoint records of its model.

    Attributes:
        manifest: The manifest.
        architecture: How the model is built.
        size_bytes: Of the checkpoint.
    """

    manifest: Manifest
    architecture: Architecture
    size_bytes: int


def recorded_in(path: str | os.PathLike[str]) -> Record:
    """Returns what a sealed checkpoint records of its model.

    Raises:
        CannotRead: It is no checkpoint that can be read.
        LoadRefused: It is not sealed, or of a state dict without a model.
    """
    with closing(open_container(path)) as container:
        manifest: Manifest | None = getattr(container, "manifest", None)
        where, size_bytes = container.source.path, container.source.size_bytes
    if manifest is None or not manifest.architecture:
        what = "is not sealed" if manifest is None else "was saved from a state dict"
        raise LoadRefused(
            f"the checkpoint {what}, so that nothing is recorded of the model",
            path=where,
            help="build the model yourself, and intact.load_into(model, path)",
        )
    try:
        return Record(manifest, Architecture.from_json(manifest.architecture), size_bytes)
    except ValueError as error:
        raise LoadRefused(
            f"the record of the model cannot be read: {error}",
            path=where,
            help="build the model, and intact.load_into(model, path)",
        ) from None


def rebuilt(
    record: Record, cls: type[torch.nn.Module] | None, trust: Sequence[str], path: str | os.PathLike[str]
) -> torch.nn.Module:
    """Returns a new model of the recorded architecture; no random number generator is moved.

    A file of a few bytes cannot ask for a model of many gigabytes: what the arguments would take is asked before it is taken.

    Raises:
        LoadRefused: It cannot be built, or not with what is trusted.
    """
    from intact.model.making.rebuilding import rebuild
    from intact.model.state import random_state_kept

    with random_state_kept():
        try:
            most_bytes = MEMORY_FACTOR * record.size_bytes + MEMORY_BYTES
            model = rebuild(record.architecture, cls, trust=trust, most_bytes=most_bytes)
        except LoadRefused as error:
            error.path = error.path or os.fspath(path)
            raise
    set_mode(model, mode_of(record.manifest))
    return model


def finish(model: torch.nn.Module, record: Record, report: Report) -> None:
    """Puts a loaded model into the mode in which it was saved, and warns of what may be otherwise than when it was saved."""
    set_mode(model, mode_of(record.manifest))
    seen = (*report.findings, *_other_signature(model, record.architecture))
    told = [finding for finding in seen if finding.severity == "warning" and finding.code not in KNOWN_THEN]
    if told:
        lines = "\n".join(f"{finding.code}: {finding.headline}" for finding in told)
        warnings.warn(CheckpointWarning(f"{report.source.path}\n{lines}", report), stacklevel=3)


def _other_signature(model: torch.nn.Module, architecture: Architecture) -> Iterator[Finding]:
    """Yields arguments of the class that are new, or have another default, since the model was saved."""
    from intact.model.making.rebuilding import signature_changes

    said = {
        "default-differs": "the default of `{}` is another one now, and the model was built with the value of then",
        "argument-added": "the constructor takes a new argument `{}`, and the model was built with its default",
        "argument-removed": "the constructor no longer takes `{}`",
    }
    changes = [change for change in signature_changes(architecture, type(model)) if change.kind in said]
    if changes:
        yield Finding(
            "arch/source-changed",
            "warning",
            f"`{type(model).__name__}` changed since the model was saved: "
            + "; ".join(said[change.kind].format(change.name) for change in changes),
            evidence={change.name: change.kind for change in changes},
            help="look at what the class does with these arguments",
        )


def verified_program(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """Returns the program that was saved beside a checkpoint.

    Raises:
        LoadRefused: There is none, it changed since it was saved, or this torch cannot load it.
    """
    from intact.model.program import loaded
    from intact.verification import program_changes

    with closing(open_container(path)) as container:
        manifest: Manifest | None = getattr(container, "manifest", None)
        place = Path(container.source.path)
        if manifest is None or manifest.program is None:
            raise LoadRefused(
                "no program was saved with it", path=str(place), help="intact.save(…, example_inputs=…, program=True)"
            )
        changed = program_changes(container)
    program = place.with_name(manifest.program.file)
    if changed:
        raise LoadRefused(
            f"the program changed since it was saved: bytes [{changed[0].begin}, {changed[0].end})",
            code="file/checksum-mismatch",
            path=str(program),
            help="fetch or copy it again",
        )
    return loaded(program)
