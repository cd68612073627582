"""What a model's own loading code makes of a checkpoint, tried on a copy of the model that has no memory.

A model may rename keys, fill in counters, or take its shapes from the file by hooks of its own. None of that can be read off a
description, so the model's `load_state_dict` is run, on the meta device, and every tensor is followed to where it ends. The copy
shares nothing with the model; what its hooks nevertheless did to the model itself is put back.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from intact.core.description import Description
from intact.core.rule import Migration
from intact.core.tensor import TensorInfo
from intact.model.entries import entries_in, is_extra_state, rebuilt, tensors_in
from intact.model.snapshot import Snapshot
from intact.model.state import accepts, modules_of, random_state_kept, short, state_of, tensors_of

if TYPE_CHECKING:
    import torch

MOST_KEYS = 200_000
"""More than any checkpoint has; trying more would take minutes for a file that is not a checkpoint of this model anyway."""


def migrate(model: torch.nn.Module, found: Description) -> Migration:
    """Returns what the model's own loading code does with the keys found.

    Args:
        model: It is not changed.
        found: What would be loaded; its values are never needed.
    """
    if len(found.tensors) > MOST_KEYS:
        return Migration(False, reason=f"not tried: the checkpoint has more than {MOST_KEYS:,} keys")
    with random_state_kept():
        try:
            first = tried(model, found)
            if first.error is None:
                return _migration(first, found, "")
            second = tried(model, found, expected_shapes=True)
            return _migration(second, found, first.error)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return Migration(False, reason=f"{type(error).__name__}: {short(str(error))}")


def has_own_loader(model: torch.nn.Module) -> bool:
    """Tells whether a model brings loading code: hooks, or methods that its classes override; else a trial tells nothing new."""
    import torch

    plain = (torch.nn.Module._load_from_state_dict, torch.nn.Module.load_state_dict)
    classes = set()
    for _, module in modules_of(model):
        if module._load_state_dict_pre_hooks or module._load_state_dict_post_hooks:
            return True
        classes.add(type(module))
    own = (cls for cls in classes if not cls.__module__.startswith("torch.nn.modules."))
    return any((cls._load_from_state_dict, cls.load_state_dict) != plain for cls in own)


@dataclass(slots=True)
class Trial:
    """One load on a copy.

    Attributes:
        twin: The model without memory, after the load.
        given: Tensors it was given, by key.
        missing: What torch called missing.
        unexpected: What torch called unexpected.
        error: What it raised, None where it raised nothing.
        copied: Storage of a destination to (shape of the destination, source) of the last copy into it.
        changed: Storages that the model's own code changed in place.
    """

    twin: torch.nn.Module
    given: Mapping[str, torch.Tensor]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    error: str | None = None
    copied: dict[int, tuple[torch.Size, torch.Tensor]] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)


def tried(model: torch.nn.Module, found: Description, *, expected_shapes: bool = False) -> Trial:
    """Returns what a load of exactly these keys did to a copy of the model without memory; the model stays as it is."""
    state = state_of(model)
    guard = Snapshot(model, state, contents=False)
    try:
        twin = without_memory(model)
        shapes = {key: value.shape for key, value in _tensors(state) if not _is_lazy(value)} if expected_shapes else {}
        trial = Trial(twin, dict(_meta_tensors(found.tensors.values(), shapes)))
        _load(trial, found)
        return trial
    finally:
        guard.restore()


def without_memory(model: torch.nn.Module) -> torch.nn.Module:
    """Returns a deep copy of a model whose tensors are on the meta device, made without copying any of them."""
    memo: dict[int, Any] = {}
    for _, module in modules_of(model):
        attributes = ((name, value) for name, value in module.__dict__.items() if _is_tensor(value))
        for _, tensor in (*tensors_of(module), *attributes):
            if id(tensor) not in memo:
                memo[id(tensor)] = _twin(tensor)
    twin: torch.nn.Module = copy.deepcopy(model, memo)
    return twin


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if _is_lazy(tensor):
        parameter = isinstance(tensor, torch.nn.Parameter)
        kind: Any = torch.nn.UninitializedParameter if parameter else torch.nn.UninitializedBuffer
        lazy: torch.Tensor = kind(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype)
        return lazy
    blank = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return torch.nn.Parameter(blank, requires_grad=tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else blank


def _is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    import torch

    return isinstance(value, torch.Tensor)


def _is_lazy(tensor: torch.Tensor) -> bool:
    import torch

    return torch.nn.parameter.is_lazy(tensor)


def _tensors(state: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    return ((key, value) for key, value in state.items() if _is_tensor(value))


def _meta_tensors(infos: Iterable[TensorInfo], shapes: Mapping[str, torch.Size]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors without memory in place of those found, in the model's own shapes where these are given."""
    import torch

    for info in infos:
        dtype = getattr(torch, info.dtype, None)
        if isinstance(dtype, torch.dtype):
            with suppress(RuntimeError, TypeError, ValueError, OverflowError):  # a shape that no tensor can have
                yield info.key, torch.empty(shapes.get(info.key, info.shape), dtype=dtype, device="meta")


def _load(trial: Trial, found: Description) -> None:
    state = state_of(trial.twin)
    own = {key: rebuilt(key, value, trial.given) for key, value in entries_in(state).items() if not is_extra_state(key)}
    within = set(tensors_in(state)) - set(state)
    whole = {key: t for key, t in trial.given.items() if key in state or not (key in within or is_extra_state(key))}
    given: OrderedDict[str, Any] = OrderedDict({**whole, **own})
    if found.metadata:
        versions = {path: {"version": version} for path, version in found.metadata.items()}
        object.__setattr__(given, "_metadata", versions)
    strict = {"strict": False} if accepts(trial.twin.load_state_dict, "strict") else {}
    try:
        with warnings.catch_warnings(), _recording(trial):
            warnings.simplefilter("ignore")  # torch warns of what hooks fill in with memory, into a copy without
            result = trial.twin.load_state_dict(given, **strict)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        trial.error = short(str(error)) or type(error).__name__
        return
    skipped = set(found.extra_state) - set(trial.given)
    trial.missing = tuple(key for key in getattr(result, "missing_keys", ()) if key not in skipped)
    trial.unexpected = tuple(getattr(result, "unexpected_keys", ()))


def _recording(trial: Trial) -> AbstractContextManager[Any]:
    """A context in which every copy into a tensor is noted."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Recording(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if func is torch.Tensor.copy_ and len(args) > 1 and _is_tensor(args[1]):
                trial.copied[_storage(args[0])] = (args[0].shape, args[1])
            elif _is_in_place(func) and args and _is_tensor(args[0]) and not _is_lazy(args[0]):
                trial.changed.add(_storage(args[0]))
            return result

    return Recording()


def _is_in_place(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _migration(trial: Trial, found: Description, error: str) -> Migration:
    reason = error or trial.error or ""
    accepted = not (reason or trial.missing or trial.unexpected)
    return Migration(accepted, trial.missing, trial.unexpected, _renames(trial, found), reason)


def _renames(trial: Trial, found: Description) -> dict[str, str]:
    """Keys found whose tensor, whole and as it is, ended under other keys of the model only; the first of these."""
    ended: dict[str, list[str]] = {}
    for key, source in sources_of(trial).items():
        if source is not None:
            ended.setdefault(source, []).append(key)
    return {source: keys[0] for source, keys in ended.items() if source not in keys and source in found.tensors}


def sources_of(trial: Trial) -> dict[str, str | None]:
    """Returns, for each tensor of the model, the key found whose whole tensor it got unchanged; None for anything else."""
    key_of = {_storage(tensor): key for key, tensor in trial.given.items() if _storage(tensor) not in trial.changed}
    return {key: _source(tensor, trial, key_of) for key, tensor in _tensors(state_of(trial.twin))}


def _source(tensor: torch.Tensor, trial: Trial, key_of: Mapping[int, str]) -> str | None:
    """The key found whose whole tensor this one is, or was last filled from."""
    if _is_lazy(tensor) or str(tensor.layout) != "torch.strided":
        return None
    shape, origin = trial.copied.get(_storage(tensor), (tensor.shape, tensor))
    key = key_of.get(_storage(origin))
    if key is None or shape != tensor.shape:
        return None
    whole = trial.given[key]
    return key if (origin.shape, origin.stride(), origin.storage_offset()) == (whole.shape, whole.stride(), 0) else None
