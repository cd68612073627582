"""What is known of training state: every live object beside its part of the file, as records for rules and for loading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, Foreign, TensorRecord
from intact.core.training import (
    Frozen,
    ObjectFacts,
    OptimizerFacts,
    OptimizerState,
    Pairing,
    SchedulerFacts,
    Shape,
    TrainingFacts,
)
from intact.errors import IntactError
from intact.model.optimizers import described, parameters_of, plain_option, strange_options
from intact.model.training_state import base_names, changing_names, class_name, kind_of, state_of_object
from intact.options import homes, regrouped
from intact.pairing import Universe, found_in, is_optimizer_state, listed_in, pair
from intact.training_parts import Entry, ModulePart, file_shape, is_scheduler_state, label, live_names

if TYPE_CHECKING:
    import torch

COUNTER_NAMES = re.compile(
    r"(?:(?:global|current|cur|train|training|trainer|optimizer|opt)_?)(?:steps?|iters?|iterations?|updates?)"
    r"|step|iter|iteration|(?:num|n)_(?:updates|iter)|steps_(?:taken|done)|step_count",
    re.IGNORECASE,
)
"""What programs call the number of optimizer steps that they have taken."""

_CONFIGURATION = re.compile(r"(?:config|cfg|args|arguments|h?params|hyper_?parameters|options|settings).*", re.IGNORECASE)
"""What programs call their settings, in which a step is one that is meant to come."""

DEEPEST = 4
"""Levels below the top of a file that are searched for counters."""


def training_facts(
    container: Container, objects: Mapping[str, Any], entries: Mapping[str, Entry], modules: Mapping[str, ModulePart]
) -> TrainingFacts:
    """Returns everything that is known of the training state.

    Args:
        container: The open checkpoint.
        objects: The live ones, by name.
        entries: What the file has for those that are no modules.
        modules: The live modules, each beside its part.
    """
    root, number = container.objects(), numbers_of(container)
    optimizers = tuple(
        _optimizer(name, value, entries.get(name), modules, objects, number)
        for name, value in objects.items()
        if kind_of(value) == "optimizer"
    )
    kinds = {name: kind_of(value) for name, value in objects.items()}
    rest = [n for n in (root if isinstance(root, dict) else {}) if n not in objects and n not in {e.at for e in entries.values()}]
    return TrainingFacts(
        optimizers=optimizers,
        schedulers=tuple(
            _scheduler(n, objects[n], entries.get(n), optimizers, objects) for n, kind in kinds.items() if kind == "scheduler"
        ),
        objects=tuple(_object(n, objects[n], entries.get(n)) for n, kind in kinds.items() if kind in ("scaler", "rng", "object")),
        counters=dict(_counters(root, {n for n, kind in kinds.items() if kind in ("module", "optimizer", "scheduler")})),
        frozen=tuple(_frozen(modules, optimizers)),
        elements=sum(p.numel() for n, kind in kinds.items() if kind == "optimizer" for p in parameters_of(objects[n])),
        others=tuple(str(name) for name in rest),
    )


Number = Callable[[TensorRecord], "float | None"]


def numbers_of(container: Container) -> Number:
    """Returns what reads tensors of one element from a checkpoint; None for those whose bytes are not there."""
    from intact.assembly import Assembler

    assembler = Assembler(container, mapped=True)

    def number(record: TensorRecord) -> float | None:
        try:
            return float(assembler.tensor(record))
        except (IntactError, TypeError, ValueError, RuntimeError):
            return None

    return number


def _optimizer(
    name: str,
    optimizer: Any,
    entry: Entry | None,
    modules: Mapping[str, ModulePart],
    objects: Mapping[str, Any],
    number: Number,
) -> OptimizerFacts:
    live = {owner: part.module for owner, part in modules.items()}
    names = live_names(live)
    listed = parameters_of(optimizer)
    expected = described(optimizer, names)
    detached = tuple(place for place, parameter in enumerate(listed) if id(parameter) not in names) if modules else ()
    uncovered = _uncovered([listed[place] for place in detached], listed, modules, objects) if detached else ()
    if entry is None or not is_optimizer_state(entry.node):
        return OptimizerFacts(name, expected, None, Pairing(), detached, uncovered)
    own = {owner: part for owner, part in modules.items() if any(id(p) in set(map(id, listed)) for p in part.module.parameters())}
    universe = _universe(own or modules, modules)
    found = _found(entry, own or modules, modules, names, number)
    pairing = pair(found, expected, universe)
    called = tuple(str(number) for number in listed_in(entry.node))
    strange = () if found.class_name else strange_options(optimizer, [n for group in found.groups for n in group.options])
    left = _left_behind(found, universe)
    return OptimizerFacts(name, expected, found, pairing, detached, uncovered, entry.at, called, strange, left)


def _left_behind(found: OptimizerState, universe: Universe) -> tuple[str, ...]:
    """Names of learning parameters that the saved optimizer did not hold, in whose place it held what no saved model had."""
    names = {parameter.name for parameter in found.parameters}
    nameless = sum(not parameter.name for parameter in found.parameters)
    missing = tuple(name for name in universe.shapes if name in universe.learning and name not in names)
    return missing if names - {""} and len(missing) == nameless else ()


def _uncovered(
    detached: list[torch.Tensor], listed: list[torch.Tensor], modules: Mapping[str, ModulePart], objects: Mapping[str, Any]
) -> tuple[str, ...]:
    """Names of learning parameters that nothing moves, in whose place an optimizer may hold what no model has.

    They are of a model that it moves otherwise, or of one whose parameters all have the shapes that it holds; and what it holds
    has as many dimensions. An optimizer of something else beside the models is none of that.
    """
    held = {id(p) for value in objects.values() if kind_of(value) == "optimizer" for p in parameters_of(value)}
    own = set(map(id, listed))
    shapes = sorted(tuple(p.shape) for p in detached)
    found: dict[str, torch.Tensor] = {}
    for owner, part in modules.items():
        learning = {key: p for key, p in part.module.named_parameters() if p.requires_grad}
        moved = any(id(p) in own for p in part.module.parameters())
        if moved or sorted(tuple(p.shape) for p in learning.values()) == shapes:
            found.update((label(owner, key, modules), p) for key, p in learning.items() if id(p) not in held)
    there, here = Counter(p.dim() for p in detached), Counter(p.dim() for p in found.values())
    return tuple(found) if there == here or (len(detached) > 1 and there <= here) else ()


def _found(
    entry: Entry,
    own: Mapping[str, ModulePart],
    modules: Mapping[str, ModulePart],
    names: Mapping[int, tuple[str, ...]],
    number: Number,
) -> OptimizerState:
    """The optimizer of the file, its parameters under the names that they have here."""
    first = {name: called[0] for called in names.values() for name in called}
    translate: dict[str, str] = {}
    for owner, part in own.items():
        for key, tensor in part.diagnosis.final.tensors.items():
            here = label(owner, key, modules)
            here = first.get(here, here)
            inner = tensor.source[len(_nest(part, tensor.source)) :].lstrip(".")
            for there in (f"{part.at}.{tensor.source}", f"{owner}.{key}", tensor.source, inner, key):
                translate.setdefault(there, here)
    return found_in(entry.node, entry.class_name, translate, entry.bases, number)


def _nest(part: ModulePart, source: str) -> str:
    tensor = part.facts.original.tensors.get(source)
    return tensor.nest if tensor is not None and source.startswith(tensor.nest) else ""


def _universe(own: Mapping[str, ModulePart], modules: Mapping[str, ModulePart]) -> Universe:
    shapes: dict[str, Shape] = {}
    learning = set()
    for owner, part in own.items():
        for key, parameter in part.module.named_parameters():
            name = label(owner, key, modules)
            shapes[name] = file_shape(part, key) or tuple(parameter.shape)
            if parameter.requires_grad:
                learning.add(name)
    return Universe(shapes, frozenset(learning))


def optimizer_of(scheduler: Any, optimizers: tuple[OptimizerFacts, ...], objects: Mapping[str, Any]) -> OptimizerFacts | None:
    """Returns the optimizer that a scheduler moves, where the file has it."""
    known = [one for one in optimizers if one.found is not None and one.found.groups]
    own = [one for one in known if objects[one.name] is getattr(scheduler, "optimizer", None)]
    return own[0] if own else known[0] if len(known) == len(optimizers) == 1 else None


def regrouped_as(found: Any, own: Any, optimizer: OptimizerFacts | None) -> Any:
    """Returns the state of a scheduler as the groups of its live optimizer want it."""
    if optimizer is None or optimizer.found is None or optimizer.pairing.known_by == "unknown":
        return found
    return regrouped(found, own, homes(optimizer), len(optimizer.found.groups))


def _scheduler(
    name: str, scheduler: Any, entry: Entry | None, optimizers: tuple[OptimizerFacts, ...], objects: Mapping[str, Any]
) -> SchedulerFacts:
    expected = plain_state(state_of_object(name, scheduler))
    found = plain_state(entry.node) if entry is not None and isinstance(entry.node, dict) else None
    found = regrouped_as(found, expected, optimizer_of(scheduler, optimizers, objects))
    return SchedulerFacts(
        name,
        expected if isinstance(expected, dict) else {},
        found if isinstance(found, dict) else None,
        class_name(scheduler),
        entry.class_name if entry is not None else "",
        changing_names(scheduler),
        base_names(scheduler),
        entry.bases if entry is not None else (),
    )


UNKNOWN = object()
"""What has no plain form: functions, tensors of several elements, objects of classes."""


def plain_state(value: Any, depth: int = 0) -> Any:
    """Returns state as plain values that can be compared; what is none is left out of mappings."""
    if isinstance(value, Mapping) and depth < 8:
        made = {str(key): plain_state(member, depth + 1) for key, member in value.items()}
        return {key: member for key, member in made.items() if member is not UNKNOWN}
    if isinstance(value, list | tuple) and depth < 8:
        items = [plain_state(member, depth + 1) for member in value]
        return UNKNOWN if UNKNOWN in items else items
    if isinstance(value, Foreign | TensorRecord):
        return UNKNOWN
    option = plain_option(value)
    return option if option is not None or value is None else UNKNOWN


def _object(name: str, value: Any, entry: Entry | None) -> ObjectFacts:
    kind = kind_of(value)
    assert kind in ("scaler", "rng", "object")
    wanted = bool(state_of_object(name, value))
    return ObjectFacts(name, kind, class_name(value), wanted, entry is not None and (bool(entry.node) or not wanted))


def _counters(node: Any, besides: set[str], path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yields whole numbers that are called like counts of steps, by path, beside those of optimizers and schedulers."""
    for name, value in node.items() if isinstance(node, dict) and depth < DEEPEST else ():
        if not isinstance(name, str) or (not path and name in besides) or _CONFIGURATION.fullmatch(name):
            continue
        if is_optimizer_state(value) or is_scheduler_state(value):
            continue
        inner = f"{path}.{name}" if path else name
        if type(value) is int and COUNTER_NAMES.fullmatch(name):
            yield inner, value
        elif isinstance(value, dict):
            yield from _counters(value, besides, inner, depth + 1)


def _frozen(modules: Mapping[str, ModulePart], optimizers: tuple[OptimizerFacts, ...]) -> Iterator[Frozen]:
    """Yields parameters whose learning is not what it was, by the record of a sealed model or by what its optimizer kept."""
    recorded = set()
    for owner, part in modules.items():
        manifest = getattr(part.container, "manifest", None)
        if manifest is None or manifest.training is None:
            continue
        recorded.add(owner)
        others = set(manifest.other_learning)
        live = dict(part.module.named_parameters())
        for key, tensor in part.diagnosis.final.tensors.items():
            learned = manifest.learning is (tensor.source not in others)
            if key in live and tensor.source in part.facts.original.tensors and learned is not live[key].requires_grad:
                yield Frozen(label(owner, key, modules), learned, True, live[key].numel())
    if len(recorded) < len(modules):
        for facts in optimizers:
            yield from _frozen_by_state(facts)


def _frozen_by_state(facts: OptimizerFacts) -> Iterator[Frozen]:
    found = facts.found
    if found is None or found.joint or not any(parameter.state for parameter in found.parameters):
        return
    for here, there in sorted(facts.pairing.places.items()):
        parameter, learned = facts.expected.parameters[here], bool(found.parameters[there].state)
        if parameter.learning is not learned:
            elements = 1
            for size in parameter.shape or ():
                elements *= size
            yield Frozen(facts.shown(here), learned, False, elements)
