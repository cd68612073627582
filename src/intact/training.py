"""Training state beside live objects: examined together, reported as one, loaded all or nothing, and read back.

Each model goes through the same walk as a model alone. Optimizers, schedulers and the rest are put beside their parts of the
file, rules say what differs, and loading gives each parameter the state that was kept for it, wherever it stood.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from intact.containers.subtree import Subtree
from intact.containers.training_folder import TrainingFolder
from intact.core.collecting import collector_paused
from intact.core.container import Container
from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.plan import Plan
from intact.core.report import VERDICTS, Report, Target, verdict_of
from intact.core.rule import Facts
from intact.core.training import OptimizerFacts, TrainingFacts
from intact.diagnosis import Diagnosis, diagnose
from intact.errors import IntactError, LoadRefused, ReadBackFailed
from intact.examination import examine, facts_of
from intact.loading import load_planned
from intact.model.optimizers import numbered, parameters_of, put, read_back, same
from intact.model.snapshot import Snapshot
from intact.model.state import random_state_kept, short, state_of
from intact.model.training_state import Kept, kind_of, loaded_by, state_of_object
from intact.options import is_other_class, settings
from intact.pairing import is_optimizer_state, listed_in
from intact.planning import planned_values, refuse_unless_allowed
from intact.reading import read_objects
from intact.repairs.in_part import InPart
from intact.rules import RULES
from intact.rules.state.scheduler_differs import is_other_scheduler
from intact.training_facts import optimizer_of, regrouped_as, training_facts
from intact.training_parts import Entry, ModulePart, entries_for, file_dtypes


@dataclass(frozen=True, slots=True)
class TrainingExamination:
    """What was learned of training state, with the container still open.

    Attributes:
        report: What the user hears.
        container: The open checkpoint; None where it could not be opened.
        diagnosis: All findings and steps.
        modules: Live modules, each beside its part.
        entries: What the file has for the other objects.
        facts: What rules were told.
    """

    report: Report
    container: Container | None
    diagnosis: Diagnosis | None
    modules: Mapping[str, ModulePart]
    entries: Mapping[str, Entry]
    facts: TrainingFacts

    def close(self) -> None:
        """Closes the container."""
        if self.container is not None:
            self.container.close()


def check_training(path: str | os.PathLike[str], objects: Mapping[str, Any]) -> Report:
    """Returns the report on training state, and on how it fits live objects; nothing is changed.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read.
    """
    examination = examine_training(path, objects)
    examination.close()
    return examination.report


@collector_paused()
def examine_training(path: str | os.PathLike[str], objects: Mapping[str, Any]) -> TrainingExamination:
    """Returns what is to be said of a checkpoint, and of how it fits live objects.

    Args:
        path: A folder of training state, or a file of any container.
        objects: Name to live object.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read.
    """
    alone = examine(path)
    container = alone.container
    if container is None:
        return TrainingExamination(alone.report, None, None, {}, {}, TrainingFacts())
    root = container.objects()
    entries = entries_for(container, objects)
    taken = {entry.at for entry in entries.values()}
    modules = {n: _module_part(container, root, n, v, taken) for n, v in objects.items() if kind_of(v) == "module"}
    facts = training_facts(container, objects, entries, modules)
    diagnosis = _diagnosed(alone.report, facts, modules, _absent(objects, entries))
    report = _report(alone.report, objects, modules, diagnosis)
    return TrainingExamination(report, container, diagnosis, modules, entries, facts)


def _module_part(container: Container, root: Any, name: str, module: Any, taken: set[str]) -> ModulePart:
    part, at = _part_of(container, root, name, taken)
    facts = facts_of(part, part.describe(), module, None)
    return ModulePart(module, at, part, facts, diagnose(facts, RULES))


def _part_of(container: Container, root: Any, name: str, taken: set[str]) -> tuple[Container, str]:
    """The part of a module by its name, or everything that belongs to nobody else."""
    if isinstance(container, TrainingFolder) and (own := container.part(name)) is not None:
        return own, name
    if not isinstance(root, dict):
        return Subtree(container, root), ""
    if name in root:
        return Subtree(container, root[name]), name
    rest = {key: node for key, node in root.items() if key not in taken and not is_optimizer_state(node)}
    return (container if len(rest) == len(root) else Subtree(container, rest)), ""


def _absent(objects: Mapping[str, Any], entries: Mapping[str, Entry]) -> tuple[Finding, ...]:
    """A finding on objects and values that the file has nothing for, and that no rule of their own speaks of."""
    names = tuple(name for name, value in objects.items() if kind_of(value) in ("object", "value") and name not in entries)
    if not names:
        return ()
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        Finding(
            "arch/missing-key",
            "warning",
            f"the checkpoint has nothing for {listed}",
            names,
            cause="it was saved without",
            help="what has nothing in the file stays as it is",
        ),
    )


def in_part(name: str, finding: Finding) -> Finding:
    """Returns a finding on one object among several, with the object's name in front of each key."""
    step = InPart(name, finding.step) if finding.step is not None else None
    keys = tuple(f"{name}.{key}" for key in finding.keys)
    return replace(finding, headline=f"`{name}`: {finding.headline}", keys=keys, step=step, explains=frozenset())


def _diagnosed(
    alone: Report, training: TrainingFacts, modules: Mapping[str, ModulePart], absent: tuple[Finding, ...]
) -> Diagnosis:
    """All findings: on the file, on each model, on the rest of the training state."""
    found = alone.found
    facts = Facts(found, Description(), (), found, alone.source.container, has_model=False, training=training)
    told = {(finding.code, finding.headline) for finding in alone.findings}
    inner = []
    for name, part in modules.items():
        for finding in part.diagnosis.findings:
            if finding.keys or (finding.code, finding.headline) not in told:  # what is of the whole file is told once
                inner.append(in_part(name, finding))
                told.add((finding.code, finding.headline))
    resumed = [finding for rule in RULES if rule.phase == "resume" for finding in rule.detect(facts)]
    planned = [(code, InPart(name, step)) for name, part in modules.items() for code, step in part.diagnosis.plan.steps]
    steps = (*planned, *((f.code, f.step) for f in resumed if f.step is not None))
    still_open = tuple(difference for part in modules.values() for difference in part.diagnosis.open)
    return Diagnosis((*alone.findings, *inner, *resumed, *absent), Plan(steps), Description(), still_open)


def _report(alone: Report, objects: Mapping[str, Any], modules: Mapping[str, ModulePart], diagnosis: Diagnosis) -> Report:
    findings = sorted(diagnosis.findings, key=lambda f: -VERDICTS.index(verdict_of((f,))))
    expected = {
        f"{name}.{key}": replace(tensor, key=f"{name}.{key}")
        for name, part in modules.items()
        for key, tensor in part.facts.expected.tensors.items()
    }
    matched = [part.facts.original.tensors[s] for part in modules.values() for s in _matched(part)]
    return Report(
        alone.source,
        Target(", ".join(type(value).__name__ for value in objects.values()), len(expected)),
        tuple(findings),
        diagnosis.plan,
        len(matched),
        sum(tensor.size_bytes for tensor in matched),
        alone.found,
        Description(tensors=expected),
    )


def _matched(part: ModulePart) -> list[str]:
    """What the file calls the tensors that reach the module whole and unchanged."""
    changed = {key for f in part.diagnosis.findings if f.step is not None and not f.step.lossless for key in f.keys}
    final, wanted = part.diagnosis.final.tensors, part.facts.expected.tensors
    kept = (final[key] for key in wanted if key in final and key not in changed)
    return [
        tensor.source
        for tensor in kept
        if tensor.source and (tensor.shape == wanted[tensor.key].shape or wanted[tensor.key].lazy)
    ]


def load_training(objects: Mapping[str, Any], path: str | os.PathLike[str], allow: Iterable[str] = ()) -> Report:
    """Loads training state into live objects, all or nothing over all of them, and reads back.

    Args:
        objects: Name to live object. Plain values of a mapping that can be changed are replaced by the file's.
        path: A folder of training state, or a file of any container.
        allow: Codes of losses that are meant.

    Raises:
        LoadRefused: Something would be lost that was not allowed, or no plan loads it.
        ReadBackFailed: An object did not take its state; everything was put back.
    """
    examination = examine_training(path, objects)
    try:
        refuse_unless_allowed(examination.report, examination.diagnosis, allow)
        assert examination.container is not None
        nodes = {name: entry.node for name, entry in examination.entries.items()}
        values: dict[str, Any] = read_objects(Subtree(examination.container, nodes))
        _load_all(examination, objects, values)
        _set_values(objects, values)
        return examination.report
    finally:
        examination.close()


def _load_all(examination: TrainingExamination, objects: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    planned = {n: planned_values(part.container, part.diagnosis, part.module) for n, part in examination.modules.items()}
    live = {name: value for name, value in objects.items() if kind_of(value) != "value"}
    loads = [_loader(examination, name, objects, values) for name, value in live.items() if name in values]
    back: list[Callable[[], object]] = [
        Snapshot(value, state_of(value)).restore if kind_of(value) == "module" else Kept(name, value).restore
        for name, value in live.items()
    ]
    back += [order for value in live.values() if kind_of(value) == "optimizer" for order in _orders_kept(value)]
    try:
        with random_state_kept():
            for name, part in examination.modules.items():
                load_planned(part.module, planned[name], part.diagnosis.final)
            for load in (load for kind, load in loads if kind != "rng"):
                load()
        for load in (load for kind, load in loads if kind == "rng"):
            load()
    except BaseException as error:
        _put_back(back)
        if isinstance(error, Exception) and not isinstance(error, IntactError):
            raise LoadRefused(
                f"loading code of an object raises {type(error).__name__}: {short(str(error))}",
                help="everything was put back as it was; correct the `load_state_dict` of the object",
                report=examination.report,
            ) from error
        raise


def _put_back(steps: Iterable[Callable[[], object]]) -> None:
    """Puts all objects back; where the user interrupts, it is finished first and the interruption raised afterwards."""
    interrupted: KeyboardInterrupt | None = None
    for step in steps:
        while True:
            try:
                step()
                break
            except KeyboardInterrupt as error:
                interrupted = error
            except Exception:  # noqa: BLE001 - the user's loading code; the other objects are put back all the same
                break
    if interrupted is not None:
        raise interrupted


def _orders_kept(optimizer: Any) -> list[Callable[[], object]]:
    """What gives the groups of an optimizer the order of their parameters back."""

    def keep(listed: list[Any], order: list[Any]) -> Callable[[], object]:
        return lambda: listed.__setitem__(slice(None), order)

    return [keep(group["params"], list(group["params"])) for group in optimizer.param_groups]


def _loader(
    examination: TrainingExamination, name: str, objects: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[str, Callable[[], None]]:
    """Returns the kind of an object and what loads its state and reads it back."""
    value = objects[name]
    kind = kind_of(value)
    facts = next((one for one in examination.facts.optimizers if one.name == name), None)
    if facts is not None and facts.found is not None:
        dtypes = file_dtypes(examination.modules)
        return kind, lambda: _load_optimizer(facts, value, values[name], dtypes)
    if kind == "scheduler":
        moved = optimizer_of(value, examination.facts.optimizers, objects)
        state = regrouped_as(values[name], state_of_object(name, value), moved)
        one = next(one for one in examination.facts.schedulers if one.name == name)
        return kind, lambda: _load_object(name, value, state, one.changing if is_other_scheduler(one) else None)
    wanted = next((one.wanted for one in examination.facts.objects if one.name == name), True)
    return kind, lambda: _load_object(name, value, values[name]) if wanted and values[name] else None


def _load_optimizer(facts: OptimizerFacts, optimizer: Any, state: Mapping[str, Any], dtypes: Mapping[str, str]) -> None:
    if is_other_class(facts):
        return  # by the user's word it starts afresh
    pairing, listed = facts.pairing, listed_in(state)
    if facts.found is not None and facts.found.joint and pairing.moved:
        pairing = _reordered(optimizer, facts)
    groups = [{name: state["param_groups"][home][name] for name, home in taken.items()} for taken in settings(facts)]
    planned = numbered(optimizer, state, listed, pairing, groups)
    live = parameters_of(optimizer)
    names = [parameter.name for parameter in facts.expected.parameters]
    exact = frozenset(
        place for place, name in enumerate(names) if dtypes.get(name) == str(live[place].dtype).removeprefix("torch.")
    )
    put(optimizer, planned, exact)
    read_back(facts.name, optimizer, planned)


def _reordered(optimizer: Any, facts: OptimizerFacts) -> Any:
    """Gives the live parameters the order of the file, where one state stands for all of them together."""
    live = parameters_of(optimizer)
    order = [live[here] for here, _ in sorted(facts.pairing.places.items(), key=lambda row: row[1])]
    begin = 0
    for group in optimizer.param_groups:
        end = begin + len(group["params"])
        group["params"][:] = order[begin:end]
        begin = end
    return replace(facts.pairing, places={place: place for place in facts.pairing.places}, unfit=())


def _load_object(name: str, value: Any, state: Any, only: frozenset[str] | None = None) -> None:
    """Loads the state of an object by its own code, and reads it back.

    Args:
        name: What the user calls it.
        value: The object.
        state: The file's.
        only: Names that are taken; the rest stays as the object has it. None for all.
    """
    if only is not None:
        own = state_of_object(name, value)
        state = {**own, **{key: state[key] for key in own if key in only and key in state}}
    loaded_by(name, value)(state)
    after = state_of_object(name, value)
    wrong = [key for key in state if key in after and not same(after[key], state[key])] if isinstance(after, Mapping) else []
    if wrong:
        raise ReadBackFailed(
            f"after loading, `{name}.{wrong[0]}` did not have the planned value; everything was put back as it was",
            evidence={"keys": [f"{name}.{key}" for key in wrong]},
            help="the object's own loading code changes values; look at its `load_state_dict`",
        )


def _set_values(objects: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    if isinstance(objects, MutableMapping):
        objects.update({name: values[name] for name, held in objects.items() if kind_of(held) == "value" and name in values})
