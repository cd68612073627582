"""What a live model wants: its state dict, ties, modules and versions as one description.

Keys stand exactly as `state_dict()` gives them, so that wrappers, hooks and state dicts written by hand count as they are.
Nothing is run but the model's own `state_dict`, and nothing of the model is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from intact.core.description import Description, Extra, ModuleInfo, Plain
from intact.core.keys import leaf_of, owner_of
from intact.core.tensor import Role, TensorInfo
from intact.model.entries import entries_in, is_extra_state, tensors_in
from intact.model.hyperparameters import Cache, hyperparameters_of
from intact.model.lazy_names import lazy_names_of
from intact.model.state import modules_of, state_of, tensors_of, ties_of

if TYPE_CHECKING:
    import numpy as np
    import torch

_NO_HYPERPARAMETERS: Mapping[str, Plain] = MappingProxyType({})


def expect(model: torch.nn.Module) -> Description:
    """Returns what a model wants to be loaded with.

    Args:
        model: Any module, on any device, wrapped or not; it is not changed.

    Raises:
        ModelError: Its own `state_dict` raises.
    """
    state, modules = state_of(model), list(modules_of(model))
    held = tensors_in(state)
    roles = _roles(module for _, module in modules)
    return Description(
        tensors={key: tensor_info(key, tensor, roles.get(id(tensor))) for key, tensor in held.items()},
        ties=ties_of(held),
        modules=_modules(modules),
        extras=tuple(_extra(key, value) for key, value in entries_in(state).items() if not is_extra_state(key)),
        absent=_absent(modules, held),
        extra_state=tuple(str(key) for key in state if is_extra_state(str(key))),
        metadata=_versions(getattr(state, "_metadata", None)),
    )


def tensor_info(key: str, tensor: torch.Tensor, role: Role | None = None) -> TensorInfo:
    """Returns one live tensor as a record.

    An extra state that is a tensor counts as lazy: whatever shape the file has, the module takes it.
    """
    lazy = _is_lazy(type(tensor))
    return TensorInfo(
        key,
        _dtype_name(tensor.dtype),
        () if lazy else tuple(tensor.shape),
        role or _role_of(tensor),
        "strided" if lazy else _layout(tensor),
        lazy=lazy or is_extra_state(key),
        device=_device_name(tensor.device),
    )


def tensor_bytes(model: torch.nn.Module, key: str) -> np.ndarray[Any, Any] | None:
    """Returns the bytes of one of the model's tensors in C order, non-persistent buffers included; None where it has none.

    Args:
        model: It is not changed.
        key: A key of `expect(model)`, of its tensors or its absent ones.
    """
    import torch

    tensor = _tensor_at(model, key)
    if tensor is None or tensor.is_meta or _is_lazy(type(tensor)) or _layout(tensor) != "strided":
        return None
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    bytes_: np.ndarray[Any, Any] = plain.view(torch.uint8).numpy()
    return bytes_


def _tensor_at(model: torch.nn.Module, key: str) -> torch.Tensor | None:
    """The tensor under a key: found by its path, and in the state dict where the model's keys are not paths."""
    import torch

    try:
        owner = model.get_submodule(owner_of(key))
    except AttributeError:
        owner = None
    held: Any = dict(tensors_of(owner)).get(leaf_of(key)) if owner is not None else None
    if held is None:
        held = state_of(model).get(key)
    return held if isinstance(held, torch.Tensor) else None


def _roles(modules: Iterable[torch.nn.Module]) -> dict[int, Role]:
    """What each registered tensor is to its module, by identity."""
    roles: dict[int, Role] = {}
    for module in modules:
        roles.update((id(tensor), "buffer") for tensor in module._buffers.values() if tensor is not None)
        roles.update((id(tensor), "parameter") for tensor in module._parameters.values() if tensor is not None)
    return roles


def _role_of(tensor: torch.Tensor) -> Role:
    import torch

    return "parameter" if isinstance(tensor, torch.nn.Parameter) else "tensor"


@lru_cache(maxsize=256)
def _is_lazy(cls: type) -> bool:
    import torch

    return issubclass(cls, (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer))


@lru_cache(maxsize=64)
def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@lru_cache(maxsize=64)
def _device_name(device: torch.device) -> str:
    return str(device)


@lru_cache(maxsize=16)
def _layout_name(layout: torch.layout) -> str:
    return str(layout).removeprefix("torch.")


def _layout(tensor: torch.Tensor) -> str:
    if tensor.is_quantized:
        return "quantized"
    return "nested" if tensor.is_nested else _layout_name(tensor.layout)


def _modules(modules: Iterable[tuple[str, torch.nn.Module]]) -> dict[str, ModuleInfo]:
    seen: dict[int, tuple[str, Mapping[str, Plain], frozenset[str], tuple[str, ...]]] = {}
    configurations: Cache = {}
    found = {}
    for path, module in modules:
        if id(module) not in seen:
            cls = type(module)
            children = tuple(name for name, child in module._modules.items() if child is not None)
            plain = hyperparameters_of(module, configurations) or _NO_HYPERPARAMETERS
            seen[id(module)] = (f"{cls.__module__}.{cls.__qualname__}", plain, lazy_names_of(cls), children)
        found[path] = ModuleInfo(path, *seen[id(module)])
    return found


def _absent(modules: Iterable[tuple[str, torch.nn.Module]], held: Mapping[str, Any]) -> dict[str, TensorInfo]:
    absent = {}
    for path, module in modules:
        for name in sorted(module._non_persistent_buffers_set):
            buffer, key = module._buffers.get(name), f"{path}.{name}" if path else name
            if buffer is not None and key not in held:
                absent[key] = tensor_info(key, buffer, "buffer")
    return absent


def _versions(metadata: Any) -> dict[str, int]:
    if not isinstance(metadata, Mapping):
        return {}
    rows = ((path, entry.get("version")) for path, entry in metadata.items() if isinstance(entry, Mapping))
    return {str(path): version for path, version in rows if isinstance(version, int)}


def _extra(key: object, value: object) -> Extra:
    plain = isinstance(value, bool | int | float | str | None)
    name = type(value).__name__
    text = repr(value)[:80] if plain else str(value) if name == "dtype" else f"{type(value).__module__}.{name}"
    return Extra(str(key), name, text)
