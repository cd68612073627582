"""A live model as a state dict and as a tree of modules, taken without changing anything.

Here is known how to ask a model for its state dict when its author wrote `state_dict` anew, how to walk modules that stand under
several names or contain themselves, and when two tensors are the same memory.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from intact.errors import ModelError

if TYPE_CHECKING:
    import torch


def state_of(model: torch.nn.Module) -> Mapping[str, Any]:
    """Returns the model's state dict with the live tensors in it, parameters as parameters.

    Raises:
        ModelError: The model's own `state_dict` raises, or returns something else than a mapping.
    """
    try:
        state = model.state_dict(keep_vars=True) if accepts(model.state_dict, "keep_vars") else model.state_dict()
    except Exception as error:
        raise ModelError(
            f"`{type(model).__name__}.state_dict()` raises {type(error).__name__}: {short(str(error))}",
            help="a model is compared by its state dict; make `state_dict()` work first",
        ) from error
    if not isinstance(state, Mapping):
        raise ModelError(f"`{type(model).__name__}.state_dict()` returns a {type(state).__name__}, not a mapping")
    return state


def modules_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yields path and module, parents first; a shared module under each of its paths, one within itself only once."""
    yield from _walk("", model, set())


def _walk(path: str, module: torch.nn.Module, above: set[int]) -> Iterator[tuple[str, torch.nn.Module]]:
    yield path, module
    inner = module._modules
    if not inner:
        return
    above.add(id(module))
    prefix = f"{path}." if path else ""
    for name, child in inner.items():
        if child is not None and id(child) not in above:
            yield from _walk(prefix + name, child, above)
    above.discard(id(module))


def tensors_of(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields name and tensor of what a module itself registers: parameters, then buffers, persistent or not."""
    for registered in (module._parameters, module._buffers):
        yield from ((name, tensor) for name, tensor in registered.items() if tensor is not None)


def memory_of(tensor: torch.Tensor) -> object:
    """Returns what is equal for two live tensors just where they are the same view of the same memory."""
    place = _place(tensor)
    if place is None or not tensor.numel():
        return id(tensor)
    return (place, tensor.shape, tensor.stride(), tensor.dtype)


def _place(tensor: torch.Tensor) -> object:
    """Where the first element stands; None for tensors without memory of their own, such as fake, sparse and lazy ones."""
    import torch

    if torch.nn.parameter.is_lazy(tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        return None
    try:
        return tensor.data_ptr() or (tensor.untyped_storage()._cdata, tensor.storage_offset())
    except (RuntimeError, ValueError):
        return None


def storage_address(tensor: torch.Tensor) -> int:
    """Returns where the storage of a tensor begins; 0 where it has none of its own."""
    if _place(tensor) is None or tensor.is_meta:
        return 0
    return int(tensor.untyped_storage().data_ptr())


def ties_of(tensors: Mapping[str, torch.Tensor]) -> tuple[tuple[str, ...], ...]:
    """Returns groups of keys whose tensors are one, in the order of the mapping."""
    places = [_place(tensor) or id(tensor) for tensor in tensors.values()]
    times = Counter(places)
    if len(times) == len(places):  # nearly every model
        return ()
    return _groups((key, memory_of(tensors[key])) for key, place in zip(tensors, places, strict=True) if times[place] > 1)


def _groups(rows: Iterable[tuple[str, object]]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = {}
    for key, memory in rows:
        groups.setdefault(memory, []).append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def random_state_kept() -> AbstractContextManager[Any]:
    """Returns a context in which nobody can move the random number generators of torch, on any device in use."""
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return torch.random.fork_rng(devices)


def accepts(function: Callable[..., Any], *names: str) -> bool:
    """Whether a function takes these keyword arguments."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    return all(name in parameters and parameters[name].kind is not parameters[name].POSITIONAL_ONLY for name in names)


def short(text: str, limit: int = 300) -> str:
    """Returns a message of somebody else on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
