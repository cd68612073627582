"""The behaviour of a model beside the recorded one: the file's weights are put in, the recorded inputs run, and all put back.

This is the last step of a check, and only where weights load without loss: before that, another behaviour has another cause.
Whatever goes wrong here is said in the report and ends nothing, because the tensors are compared already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from intact.core.architecture import Architecture, read_architecture
from intact.core.behaviour import BehaviourFacts
from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.manifest import Manifest
from intact.core.probe import Probe
from intact.core.report import VERDICTS, Report, verdict_of
from intact.core.rule import Facts
from intact.diagnosis import Diagnosis
from intact.errors import IntactError
from intact.examination import Examination
from intact.rules import RULES

if TYPE_CHECKING:
    import torch

    from intact.model.modes import Mode


def fill(examination: Examination, diagnosis: Diagnosis, model: torch.nn.Module) -> None:
    """Puts the values of a checkpoint into a model by a plan, all or nothing.

    Raises:
        LoadRefused: The values do not fit.
        ReadBackFailed: The model did not take them.
    """
    from intact.copying import copy_verified, destinations_of
    from intact.loading import load_planned
    from intact.planning import planned_values

    container = examination.open_container
    ready = destinations_of(model, diagnosis) if examination.verified else None
    if ready is not None:
        copy_verified(container, ready)
    else:
        load_planned(model, planned_values(container, diagnosis, model), diagnosis.final)


def rehearsed(examination: Examination, model: torch.nn.Module | None, *, filled: bool = False) -> Report:
    """Returns the report of an examination with what is to be said of the model's behaviour.

    Args:
        examination: With the container open.
        model: Live; afterwards it is as it was.
        filled: Whether it holds the file's values already.
    """
    manifest: Manifest | None = getattr(examination.container, "manifest", None)
    diagnosis, report = examination.diagnosis, examination.report
    if model is None or diagnosis is None or manifest is None or not (manifest.architecture or manifest.probe):
        return report
    put = partial(fill, examination, diagnosis, model)
    behaviour = behaviour_of(model, manifest, put, _obstacle(report, diagnosis, model), filled=filled)
    if behaviour.replay is not None and behaviour.replay.status != "equal":
        behaviour = replace(behaviour, environment=_environment(examination, model))
    facts = Facts(diagnosis.final, report.expected or Description(), (), report.found, behaviour=behaviour)
    return with_findings(report, told(facts))


def told(facts: Facts) -> tuple[Finding, ...]:
    """Returns what the rules of behaviour make of facts."""
    return tuple(finding for rule in RULES if rule.phase == "replay" for finding in rule.detect(facts))


def with_findings(report: Report, more: Iterable[Finding]) -> Report:
    """Returns a report with more findings, the gravest first."""
    findings = (*report.findings, *more)
    return replace(report, findings=tuple(sorted(findings, key=lambda finding: -VERDICTS.index(verdict_of((finding,))))))


def _obstacle(report: Report, diagnosis: Diagnosis, model: torch.nn.Module) -> str:
    """Why the file's values cannot be put into the model, "" where they can."""
    from intact.model.replay.probing import SPREAD, is_spread

    errors = [finding for finding in report.findings if finding.severity == "error"]
    if diagnosis.open or any(finding.step is None or not finding.step.lossless for finding in errors):
        return "the weights do not load without loss"
    held = (*model.parameters(), *model.buffers())
    if is_spread(model):
        return SPREAD
    return "the model has no memory: it is on the meta device" if any(tensor.is_meta for tensor in held) else ""


def behaviour_of(
    model: torch.nn.Module, manifest: Manifest, put: Callable[[], None], obstacle: str = "", *, filled: bool = False
) -> BehaviourFacts:
    """Returns all that is known of how a model differs from the one that was sealed.

    Args:
        model: Live.
        manifest: Of the checkpoint.
        put: Puts the file's values into the model.
        obstacle: Why that is not to be tried.
        filled: Whether they are there already.
    """
    from intact.model.making.wrappers import inner_of
    from intact.model.modes import mode_of
    from intact.model.replay.changes import inner_mode

    inner = inner_of(model) or model
    probe, why_not = _probe(manifest)
    whole = _architecture(manifest)
    facts = _compared(inner, manifest, whole, probe) if whole is not None else BehaviourFacts()
    facts = replace(facts, probed=bool(manifest.probe), why_not=why_not or (obstacle if probe is not None else ""))
    if probe is None or facts.why_not:
        return facts
    return _rerun(inner, probe, inner_mode(mode_of(manifest), whole), put, facts, filled=filled)


def _probe(manifest: Manifest) -> tuple[Probe | None, str]:
    try:
        return (Probe.from_json(manifest.probe) if manifest.probe else None), ""
    except ValueError as error:
        return None, str(error)


def _architecture(manifest: Manifest) -> Architecture | None:
    try:
        return read_architecture(manifest.architecture) if manifest.architecture else None
    except ValueError:
        return None  # what is wrong with the record is for `intact.load` to say


def _compared(inner: torch.nn.Module, manifest: Manifest, whole: Architecture, probe: Probe | None) -> BehaviourFacts:
    """What can be said without running anything."""
    from intact.model.replay.changes import attribute_changes, buffer_changes, inner_architecture, source_changes, without_prefix

    architecture = inner_architecture(whole)
    absent = {without_prefix(row.key, whole): row for row in manifest.absent}
    return BehaviourFacts(
        attributes=attribute_changes(architecture, inner, probe.tables if probe is not None else ()),
        sources=source_changes(architecture, inner),
        buffers=buffer_changes(absent, probe.buffers if probe is not None else {}, inner),
    )


def _rerun(
    inner: torch.nn.Module, probe: Probe, mode: Mode | None, put: Callable[[], None], facts: BehaviourFacts, *, filled: bool
) -> BehaviourFacts:
    from intact.model.replay.replaying import rerun

    try:
        shown = rerun(inner, probe, mode, put, filled=filled)
    except IntactError as error:
        return replace(facts, why_not=f"the weights do not load without loss: {error.message}")
    except (ValueError, RuntimeError, OSError) as error:
        return replace(facts, why_not=f"the recorded inputs cannot be run: {error}")
    return replace(facts, replay=shown.replay, written=shown.written, mode=shown.mode, noise=shown.noise)


def _environment(examination: Examination, model: torch.nn.Module) -> tuple[str, ...]:
    from intact.environments import compare_environments, environments_of

    pair = environments_of(examination.container, model)
    if pair is None:
        return ()
    lines = (line for line in compare_environments(*pair) if line.consequence in ("may-change-outputs", "cannot-load"))
    return tuple(f"{line.name} was {line.recorded} and is {line.current or 'not known'}" for line in lines)
