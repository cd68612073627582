"""From a diagnosis to the values that a model is to hold, or to the refusal that says why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, Foreign, TensorRecord
from intact.core.description import Description
from intact.core.keys import owner_of
from intact.core.report import Report
from intact.diagnosis import Diagnosis
from intact.errors import LoadRefused

if TYPE_CHECKING:
    import torch


def refuse_unless_allowed(report: Report, diagnosis: Diagnosis | None, allow: Iterable[str]) -> Diagnosis:
    """Returns the diagnosis, where its plan may be carried out.

    Args:
        report: What the user is told on refusal.
        diagnosis: None where the checkpoint could not be opened.
        allow: Codes whose losses the user accepts.

    Raises:
        LoadRefused: The checkpoint cannot be read, differences stay open, or a loss was not allowed.
    """
    path = report.source.path
    if diagnosis is None:
        raise LoadRefused(f"the checkpoint is {report.verdict}; nothing was changed", path=path, report=report)
    stuck = [f.code for f in (*report.findings, *diagnosis.findings) if f.severity == "error" and f.step is None]
    if stuck or diagnosis.open:
        raise LoadRefused("no plan loads this checkpoint; nothing was changed", path=path, report=report)
    allowed = set(allow)
    refused = [code for code in diagnosis.plan.lossy_codes if code not in allowed]
    if refused:
        raise LoadRefused(
            f"loading would lose something that was not allowed ({', '.join(refused)}); nothing was changed",
            path=path,
            report=report,
            help=f"if that is meant: allow={refused!r}",
        )
    return diagnosis


def planned_values(container: Container, diagnosis: Diagnosis, model: torch.nn.Module) -> Mapping[str, Any]:
    """Returns the values that the plan ends with, by key of the model; views of the file where nothing changed them.

    Only tensors that end in the model are read.
    """
    from intact.reading import read_values

    wanted = {source for tensor in diagnosis.final.tensors.values() for source in tensor.sources}
    keys = [key for key in container.describe().tensors if key in wanted]
    values = diagnosis.plan.perform(read_values(container, keys), _state(model))
    return {**values, **planned_entries(container, diagnosis.final, model)}


def planned_entries(container: Container, final: Description, model: torch.nn.Module) -> dict[str, Any]:
    """Returns what the file has for the entries of the model's state dict that are no tensors, such as extra state, by key.

    A plan speaks of tensors. An entry stands beside the tensors of its module, in the file as in the model, and follows them.

    Raises:
        LoadRefused: Such an entry holds objects of classes that are not made from files.
    """
    from intact.model.entries import entries_in
    from intact.model.state import state_of
    from intact.reading import read_objects

    keys = entries_in(state_of(model))
    nodes = {key: node for key in keys if (node := _node(container.objects(), _places(key, final))) is not None}
    made: dict[str, Any] = read_objects(_Part(container, nodes)) if nodes else {}
    for key, value in made.items():
        if (name := _foreign_in(value)) is not None:
            raise LoadRefused(
                f"the entry `{key}` holds a `{name}`, and objects of that class are not made from a file; nothing was changed",
                path=container.source.path,
                help="save what it holds as numbers, texts, lists, mappings and tensors",
            )
    return made


@dataclass(frozen=True, slots=True)
class _Part:
    """A container of which only some objects are asked for."""

    container: Container
    inner: Any

    def objects(self) -> Any:
        return self.inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


def _places(key: str, final: Description) -> list[str]:
    """Where in the file an entry would stand: beside tensors of its module, or under the prefix that other tensors had."""
    leaf, owner = key[len(owner_of(key)) :].lstrip("."), owner_of(key)
    beside = [owner_of(t.source) for k, t in final.tensors.items() if t.source and owner_of(k) == owner]
    prefixes = (t.source[: -len(k)] for k, t in final.tensors.items() if t.source.endswith(k))
    return list(dict.fromkeys([*(f"{place}.{leaf}".lstrip(".") for place in beside), *(prefix + key for prefix in prefixes)]))


def _node(root: Any, paths: Iterable[str]) -> Any:
    """The first entry that is there and no tensor."""
    found = (_follow(root, path) for path in paths)
    return next((node for node in found if node is not None and not isinstance(node, TensorRecord)), None)


def _follow(node: Any, path: str) -> Any:
    """What a path leads to; keys of mappings may themselves have dots."""
    if not isinstance(node, dict):
        return None
    if path in node:
        return node[path]
    ends = [position for position, character in enumerate(path) if character == "."]
    inner = (_follow(node[path[:end]], path[end + 1 :]) for end in ends if path[:end] in node)
    return next((found for found in inner if found is not None), None)


def _foreign_in(value: Any) -> str | None:
    """The name of an object within plain data that was left as an inert record."""
    waiting, seen = [value], set[int]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Foreign):
            return node.name
        if isinstance(node, dict | list | tuple | set | frozenset) and id(node) not in seen:
            seen.add(id(node))
            waiting.extend([*node, *node.values()] if isinstance(node, dict) else node)
    return None


def _state(model: torch.nn.Module) -> dict[str, Any]:
    return dict(model.state_dict())
