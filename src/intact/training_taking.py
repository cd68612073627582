"""What a save of training state writes, taken from live objects: decided and encoded before a byte is written.

A model is audited and described as for a save of its own. Optimizers are taken by the names of parameters, everything else by its
`state_dict`. What is taken refers to live tensors until somebody asks for copies: a save in the background does, because training
goes on in the same memory.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from intact.containers.training_folder import COUNTER, KEY, SHARED, Part
from intact.core.entries import NoForm, encode
from intact.core.report import Report
from intact.errors import IntactError
from intact.model.contents import Contents, bytes_of, contents_of
from intact.model.optimizers import names_of, state_by_name
from intact.model.state import memory_of, state_of
from intact.model.training_state import Kind, base_names, class_name, kind_of, state_of_object
from intact.sealing import audited

if TYPE_CHECKING:
    import torch

INLINE_BYTES = 64
"""Largest tensor that stands in the index itself: counters, not moments."""


@dataclass(frozen=True, slots=True)
class TakenPart:
    """One object as it is written.

    Attributes:
        part: What the index says of it, without its file.
        contents: What goes to its file; None where it needs none.
        records: Architecture and environment of a model.
        audit: Of a model.
    """

    part: Part
    contents: Contents | None = None
    records: Mapping[str, str] | None = None
    audit: Report | None = None

    def copied(self, before: TakenPart | None = None) -> TakenPart:
        """Returns the same with memory of its own, on the CPU.

        Args:
            before: An earlier copy that is needed no more. Its memory is written over where it fits: new memory costs several
                times as much as the copy itself, because the system clears every page of it first.
        """
        if self.contents is None:
            return self
        had = before.contents.tensors if before is not None and before.contents is not None else {}
        tensors = {key: _copied(tensor, had.get(key)) for key, tensor in self.contents.tensors.items()}
        return replace(self, contents=replace(self.contents, tensors=tensors))


def _copied(tensor: torch.Tensor, memory: torch.Tensor | None) -> torch.Tensor:
    import torch

    with torch.inference_mode(False), torch.no_grad():  # what is made in inference mode could not be written over later
        if memory is None or memory.shape != tensor.shape or memory.dtype != tensor.dtype:
            memory = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        return memory.copy_(tensor.detach())


def taken(objects: Mapping[str, Any], allow: Iterable[str] = (), *, include_source: bool = False) -> dict[str, TakenPart]:
    """Returns objects as they are written, by name.

    Raises:
        LoadRefused: Something of a model would not survive that was not allowed.
        IntactError: Something has no plain form.
    """
    _refuse_names(objects)
    modules = {name: value for name, value in objects.items() if kind_of(value) == "module"}
    names, shared = names_of(modules), _memory_of(modules)
    return {
        name: _module(value, allow, include_source=include_source) if name in modules else _other(name, value, names, shared)
        for name, value in objects.items()
    }


def _module(module: torch.nn.Module, allow: Iterable[str], *, include_source: bool) -> TakenPart:
    audit, records, left_out = audited(module, allow, include_source=include_source)
    part = Part("module", class_name(module), base_names(module))
    return TakenPart(part, contents_of(module, left_out), records, audit)


def _other(name: str, value: Any, names: Mapping[int, tuple[str, ...]], shared: Mapping[object, str]) -> TakenPart:
    """Returns an object as plain data and tensors.

    Raises:
        IntactError: There is something in it that has no plain form.
    """
    kind = kind_of(value)
    content = value if kind == "value" else state_by_name(value, names) if kind == "optimizer" else state_of_object(name, value)
    tensors: dict[str, Any] = {}
    try:
        encoded = encode(_plain(content), _leaf(tensors, _keys(content), shared), name)
    except NoForm as error:
        raise IntactError(
            f"training state cannot be saved: {error}, which has no plain form",
            help="give it as numbers, texts, lists, mappings and tensors; nothing is pickled",
        ) from None
    return TakenPart(_part(kind, value, encoded), contents_of(tensors) if tensors else None)


def _part(kind: Kind, value: Any, content: Any) -> Part:
    return Part(kind, content=content) if kind == "value" else Part(kind, class_name(value), base_names(value), content=content)


def _refuse_names(objects: Mapping[str, Any]) -> None:
    names: list[Any] = list(objects)
    wrong = [repr(name) for name in names if not isinstance(name, str) or not name or not name.isprintable()]
    if wrong:
        raise IntactError(f"names of training state are texts that can be printed, and {', '.join(wrong[:3])} is none")


def _memory_of(modules: Mapping[str, Any]) -> dict[object, str]:
    """Returns the memory of every tensor of the models, with the model and the key that it is saved under."""
    import torch

    found: dict[object, str] = {}
    for name, module in modules.items():
        for key, tensor in state_of(module).items():
            if isinstance(tensor, torch.Tensor) and tensor.numel():
                found.setdefault(memory_of(tensor), f"{name}\0{key}")
    return found


def _plain(value: Any) -> Any:
    """Returns a value with the numbers of numpy as Python's own, and mappings of other classes as plain ones."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if isinstance(value, Mapping) and type(value).__name__ in ("dict", "defaultdict", "OrderedDict"):
        made = {_plain(key): _plain(member) for key, member in value.items()}
        return OrderedDict(made) if isinstance(value, OrderedDict) else made
    if type(value) in (list, tuple):
        return type(value)(_plain(member) for member in value)
    return value


def _keys(content: Any) -> dict[int, str]:
    """Returns names for the tensors of an object by identity: what is kept, then of which parameter (`exp_avg/fc.weight`)."""
    found: dict[int, str] = {}
    states = content.get("state") if isinstance(content, Mapping) else None
    if isinstance(states, Mapping):
        for parameter, slots in states.items():
            for path, tensor in _tensors(slots, ""):
                found.setdefault(id(tensor), f"{path}/{parameter}")
    for path, tensor in _tensors(content, ""):
        found.setdefault(id(tensor), path)
    return found


def _tensors(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path or "value", value
        return
    members = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, member in members:
        yield from _tensors(member, f"{path}/{name}" if path else str(name))


def _leaf(
    tensors: dict[str, Any], keys: Mapping[int, str], shared: Mapping[object, str]
) -> Callable[[Any], tuple[str, tuple[int, ...], bytes] | None]:
    """Returns what `encode` asks for values that are not plain; tensors that are not small are put aside under their keys."""
    import torch

    placed: dict[int, str] = {}

    def leaf(value: Any) -> tuple[str, tuple[int, ...], bytes] | None:
        if isinstance(value, Counter):
            return COUNTER, (), msgspec.json.encode(encode(dict(value), lambda _: None))
        if not isinstance(value, torch.Tensor):
            return None
        if value.numel() and (home := shared.get(memory_of(value))) is not None:
            return SHARED, (), home.encode()
        dense = value.layout == torch.strided and not value.is_quantized and not value.is_meta and not value.is_nested
        if dense and value.nbytes <= INLINE_BYTES:
            return str(value.dtype).removeprefix("torch."), tuple(value.shape), bytes(bytes_of(value))
        if id(value) not in placed:
            key, number = keys.get(id(value), "tensor"), 2
            free = key
            while free in tensors:
                free, number = f"{key}#{number}", number + 1
            placed[id(value)], tensors[free] = free, value.detach()
        return KEY, (), placed[id(value)].encode()

    return leaf
