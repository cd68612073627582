"""The parts of a checkpoint that belong to live objects: by the name that the user gave, or by the form of what waits there.

Where the file has another name for something, an entry is taken that has the form of such a state, if there is only one of them
and only one object waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from intact.containers.training_folder import TrainingFolder
from intact.core.container import Container
from intact.core.rule import Facts
from intact.core.training import Shape
from intact.diagnosis import Diagnosis
from intact.model.optimizers import names_of
from intact.model.training_state import kind_of
from intact.pairing import is_optimizer_state

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class ModulePart:
    """One live module beside its part of the file.

    Attributes:
        module: The live one.
        at: Where the file has it; "" for the whole file.
        container: The part, opened.
        facts: Both sides.
        diagnosis: What differs, and the plan.
    """

    module: torch.nn.Module
    at: str
    container: Container
    facts: Facts
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of the file that is not a module's.

    Attributes:
        at: Its path.
        node: What stands there, with inert records in place of tensors.
        class_name: Of the object that was saved; "" where the file does not tell.
        bases: Names of the classes that this class is made from.
    """

    at: str
    node: Any
    class_name: str = ""
    bases: tuple[str, ...] = ()


def entries_for(container: Container, objects: Mapping[str, Any]) -> dict[str, Entry]:
    """Returns the part of the file for each object that is no module, by the object's name; without those that have none."""
    root = container.objects()
    if not isinstance(root, dict):
        return {}
    parts = container.state.parts if isinstance(container, TrainingFolder) else {}
    wanted = {name: value for name, value in objects.items() if kind_of(value) != "module"}
    found = {name: Entry(name, root[name]) for name in wanted if name in root}
    found.update((n, replace(e, class_name=parts[n].class_name, bases=parts[n].bases)) for n, e in found.items() if n in parts)
    for kind, has_form in _FORMS.items():
        waiting = [name for name, value in wanted.items() if name not in found and kind_of(value) == kind]
        free = [entry for entry in _free(root, {*found, *objects}) if has_form(entry.node)]
        if len(waiting) == len(free) == 1:
            found[waiting[0]] = free[0]
    return found


def _free(root: Mapping[Any, Any], taken: set[str]) -> Iterator[Entry]:
    """Yields entries at the top that nobody asked for by name, and those of lists of one, as trainers write them."""
    for name, node in root.items():
        if isinstance(name, str) and name not in taken:
            if isinstance(node, list) and len(node) == 1:
                yield Entry(f"{name}[0]", node[0])
            else:
                yield Entry(name, node)


def is_scheduler_state(node: Any) -> bool:
    """Tells whether an object of a file has the form of a scheduler's state dict."""
    return isinstance(node, dict) and "last_epoch" in node


def _is_scaler(node: Any) -> bool:
    return isinstance(node, dict) and {"scale", "growth_factor"} <= node.keys()


_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "optimizer": is_optimizer_state,
    "scheduler": is_scheduler_state,
    "scaler": _is_scaler,
}
"""Kind of object to the form of its state."""


def label(owner: str, key: str, modules: Mapping[str, Any]) -> str:
    """Returns a parameter as reports name it: with its model's name in front where there are several."""
    return key if len(modules) == 1 else f"{owner}.{key}"


def live_names(modules: Mapping[str, torch.nn.Module]) -> dict[int, tuple[str, ...]]:
    """Returns the names of parameters as reports give them, by identity."""
    names = names_of(modules)
    if len(modules) != 1:
        return names
    cut = len(next(iter(modules))) + 1
    return {identity: tuple(name[cut:] for name in called) for identity, called in names.items()}


def file_shape(part: ModulePart, key: str) -> Shape | None:
    """Returns the shape that the file has for a key of the model, None where it has none."""
    final = part.diagnosis.final.tensors.get(key)
    original = part.facts.original.tensors.get(final.source) if final is not None else None
    return original.shape if original is not None else None


def file_dtypes(modules: Mapping[str, ModulePart]) -> dict[str, str]:
    """Returns the dtype that the file has for each parameter, by the name that reports give it."""
    return {
        label(owner, key, modules): part.facts.original.tensors[tensor.source].dtype
        for owner, part in modules.items()
        for key, tensor in part.diagnosis.final.tensors.items()
        if tensor.source in part.facts.original.tensors
    }
