"""One checkpoint beside one model: opens, describes, diagnoses, and reports.

Here the facts that rules may ask for are tied to bytes and to a live model: figures of casts, equality of values, the model's own
loading code. All of them are lazy and remembered, so that a checkpoint that simply fits costs no more than two descriptions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from intact.alignment import named_place
from intact.claimed_digests import CHEAP_BYTES, claims_of, findings_of_claims
from intact.claimed_settings import settings_of
from intact.containers import open_container
from intact.containers.one_shard import one_of_set
from intact.core.collecting import collector_paused
from intact.core.container import Container
from intact.core.description import Description, Integrity, Source
from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.plan import Plan
from intact.core.report import VERDICTS, Report, Target, verdict_of
from intact.core.rule import ByVersion, Facts, Migration
from intact.core.tensor import TensorInfo
from intact.diagnosis import Diagnosis, diagnose
from intact.environments import environments_of
from intact.errors import CannotRead, Damaged, IntactError, LoadRefused, ModelError
from intact.files.reading import size_on_disk
from intact.outlook import danger_of, finding_of, notes_of
from intact.pinning import held_against
from intact.remains.doubts import torn
from intact.remains.repeats import doubled
from intact.rules import RULES
from intact.statistics_survey import surveyed
from intact.verification import checked, findings_of, unsealed, unusable, verify_beside, verify_container

if TYPE_CHECKING:
    import torch

    Model = torch.nn.Module | Callable[[], torch.nn.Module]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was learned of one checkpoint, with the container still open.

    Attributes:
        report: What the user hears.
        container: The open checkpoint; None where it could not be opened.
        diagnosis: Findings, plan and the description it arrives at; None where it could not be opened.
        verified: Whether every byte was held against a digest, and agreed.
    """

    report: Report
    container: Container | None = None
    diagnosis: Diagnosis | None = None
    verified: bool = False

    @property
    def open_container(self) -> Container:
        """The checkpoint, where it could be opened.

        Raises:
            LoadRefused: It could not.
        """
        if self.container is None:
            raise LoadRefused("the checkpoint could not be opened", path=self.report.source.path, report=self.report)
        return self.container

    def close(self) -> None:
        """Closes the container."""
        if self.container is not None:
            self.container.close()


def build(model: object) -> torch.nn.Module:
    """Returns the module itself, or the one that a factory builds.

    Raises:
        ModelError: It is neither a module nor a function that returns one.
    """
    import torch

    built = model if isinstance(model, torch.nn.Module) else model() if callable(model) else None
    if not isinstance(built, torch.nn.Module):
        raise ModelError(
            f"the model is a `{type(built or model).__name__}`, not a torch.nn.Module or a function that returns one"
        )
    return built


@collector_paused()
def examine(path: PathLike, model: torch.nn.Module | None = None, at: str | None = None, *, values: bool = False) -> Examination:
    """Returns what is to be said of a checkpoint, and of how it fits a model.

    Args:
        path: File or folder.
        model: What it is meant for; None for the file alone.
        at: The place in the file to take.
        values: Whether to look at all values of a file that keeps no checksums, for signs of damage.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read.
        IntactError: `at` names no place of the checkpoint.
    """
    try:
        container = open_container(path)
        found = container.describe()
    except CannotRead as error:
        if not error.code:
            raise
        return Examination(_unreadable(path, model, error))
    facts = facts_of(container, found, model, at)
    if values:
        facts = replace(facts, values=lru_cache(maxsize=1)(lambda: surveyed(container)))
    diagnosis = diagnose(facts, RULES)
    held = _held_against_digests(container)
    if values and container.source.size_bytes <= CHEAP_BYTES:
        held = _held_against_claims(held)
    if values and not held.sealed:
        held = replace(held, findings=(*held.findings, *torn(container), *doubled(container)))
    report = replace(_report(container, facts, diagnosis, model, held), values=facts.values())
    return Examination(report, container, diagnosis, held.sealed and not held.findings)


def verified_report(path: PathLike, expect: str | None = None) -> Report:
    """Returns whether every byte of a checkpoint is as it was sealed.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read.
    """
    try:
        container = open_container(path)
    except CannotRead as error:
        if not error.code:
            raise
        return _unreadable(path, None, error)
    try:
        held = _held_against_claims(_held_against_digests(container))
        pinned = held_against(held.source, expect) if expect is not None else ()
        unverified = () if held.sealed or held.findings or expect is not None else (unsealed(held.source),)
        findings = (*notes_of(container), *held.findings, *pinned, *unverified)
        return Report(held.source, None, findings, found=container.describe())
    except Damaged as error:
        return _unreadable(path, None, error)
    finally:
        container.close()


@dataclass(frozen=True, slots=True)
class _Held:
    """What came of holding a checkpoint against digests.

    Attributes:
        source: With how much was held against them.
        findings: The damage, or why they could not be used.
        sealed: Whether there are any.
    """

    source: Source
    findings: tuple[Finding, ...]
    sealed: bool


def _held_against_digests(container: Container) -> _Held:
    try:
        verified = verify_container(container)
    except CannotRead as error:
        finding = finding_of(error, "error") if error.code else unusable(error)
        return _Held(container.source, (finding,), True)
    damage = findings_of(verified, container.source, getattr(container, "aliases", {}).items())
    return _Held(checked(container.source, verified), tuple(damage), verified.sealed)


def _held_against_claims(held: _Held) -> _Held:
    """Adds what came of digests in the names of the files, or beside them."""
    claims = claims_of(held.source)
    if not claims:
        return held
    try:
        findings, right, read_bytes = findings_of_claims(claims)
    except OSError:
        return held
    source, sealed = held.source, held.sealed
    if not sealed and len(right) == len(source.files) and all(c.algorithm == "sha256" for c in claims if c.file in right):
        source, sealed = replace(source, integrity=Integrity("sha256", read_bytes)), True
    return _Held(source, (*held.findings, *findings), sealed)


def facts_of(container: Container, found: Description, model: torch.nn.Module | None, at: str | None) -> Facts:
    """Returns the facts that rules may look at.

    Raises:
        IntactError: `at` names no place of the checkpoint.
    """
    if at is not None and named_place(found, at) is None:
        raise IntactError(
            f"the checkpoint has no place named {at!r}", path=container.source.path, help="`intact inspect` lists the places"
        )
    expected = _expected(model)
    from intact.survey import cast_loss, equal_bytes, rounds_to

    return Facts(
        found,
        expected,
        (),
        found,
        container.source.container,
        at,
        measure=lru_cache(maxsize=None)(lambda source, dtype: cast_loss(container, source, dtype)),
        same_values=lru_cache(maxsize=None)(lambda source, dtype, key: _holds(container, model, source, dtype, key)),
        same_bytes=lru_cache(maxsize=None)(lambda a, b: equal_bytes(container, a, b)),
        rounds_to=lambda wide, narrow: rounds_to(container, wide, narrow),
        migrate=lambda description: _migrate(model, description),
        by_version=lambda description: _by_version(model, description),
        settings=lru_cache(maxsize=1)(lambda: settings_of(container)),
        reads=lambda path, name: _reads(model, path, name),
        shard=lru_cache(maxsize=1)(lambda: one_of_set(container.source.path)),
        has_model=model is not None,
        environments=environments_of(container, model),
    )


def _expected(model: torch.nn.Module | None) -> Description:
    if model is None:
        return Description()
    from intact.model.expectation import expect

    return expect(model)


def _migrate(model: torch.nn.Module | None, found: Description) -> Migration | None:
    if model is None:
        return None
    from intact.model.migration import has_own_loader, migrate

    return migrate(model, found) if has_own_loader(model) else None


def _by_version(model: torch.nn.Module | None, found: Description) -> ByVersion | None:
    if model is None:
        return None
    from intact.model.migration import has_own_loader
    from intact.model.versions import by_version

    return by_version(model, found) if has_own_loader(model) else None


def _reads(model: torch.nn.Module | None, path: str, name: str) -> bool:
    """Whether what a module of the model computes depends on one of its attributes, as far as its code tells."""
    if model is None:
        return False
    from intact.model.replay.changes import is_used

    with suppress(AttributeError):
        return is_used(type(model.get_submodule(path)), name)
    return False


def _holds(container: Container, model: torch.nn.Module | None, source: str, dtype: str, key: str) -> bool:
    """Whether the model's tensor already is the cast of the file's values, bit for bit."""
    if model is None:
        return False
    from intact.model.expectation import tensor_bytes
    from intact.survey import values_equal_after_cast

    held = tensor_bytes(model, key)
    return held is not None and values_equal_after_cast(container, source, dtype, held)


def _unreadable(path: PathLike, model: torch.nn.Module | None, error: CannotRead) -> Report:
    source = Source(os.fspath(path), "", size_on_disk(path))
    target = Target(type(model).__name__, len(_expected(model).tensors)) if model is not None else None
    damage: tuple[Finding, ...] = ()
    with suppress(CannotRead):  # the seal beside it is one more witness, not needed
        damage = tuple(findings_of(verify_beside(Path(path)), source))
    return Report(source, target, (*danger_of(error), finding_of(error, "error"), *damage))


def _report(container: Container, facts: Facts, diagnosis: Diagnosis, model: torch.nn.Module | None, held: _Held) -> Report:
    notes = notes_of(container)
    findings = sorted((*notes, *held.findings, *diagnosis.findings), key=lambda f: -VERDICTS.index(verdict_of((f,))))
    opening = tuple((note.code, note.step) for note in notes if note.step is not None)
    target = Target(type(model).__name__, len(facts.expected.tensors)) if model is not None else None
    matched = _matched(facts, diagnosis)
    return Report(
        held.source,
        target,
        tuple(findings),
        Plan((*opening, *diagnosis.plan.steps)),
        len(matched),
        sum(diagnosis.final.tensors[key].elements * _itemsize(facts, diagnosis.final.tensors[key]) for key in matched),
        facts.original,
        facts.expected if model is not None else None,
    )


def _itemsize(facts: Facts, tensor: TensorInfo) -> int:
    """Bytes of one element as the file has it, 0 for a dtype that nobody knows."""
    known = dtype_named(facts.original.tensors[tensor.source].dtype)
    return known.itemsize_bytes if known else 0


def _matched(facts: Facts, diagnosis: Diagnosis) -> list[str]:
    """Keys of the model that get the file's own values, whole and unchanged."""
    changed = {key for f in diagnosis.findings if f.step is not None and not f.step.lossless for key in f.keys}
    final = diagnosis.final.tensors
    return [
        key
        for key, wanted in facts.expected.tensors.items()
        if key in final and key not in changed and final[key].source and (final[key].shape == wanted.shape or wanted.lazy)
    ]
