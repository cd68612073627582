"""What a model's own `state_dict` leaves out, and what its own loading code does not take, found by trying both.

Only models that bring such code are tried: classes outside of torch that override the methods, and hooks that are not torch's.
What is saved is compared with what is registered by memory and value, so that other names for the same tensors are no loss.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intact.core.inventory import Grade, Item
from intact.core.tensor import TensorInfo
from intact.model.entries import tensors_in
from intact.model.expectation import tensor_info
from intact.model.state import memory_of, random_state_kept, short, state_of
from intact.model.survival.methods import per_class
from intact.model.survival.origins import origin_of
from intact.model.survival.registered import Places

if TYPE_CHECKING:
    import torch

MOST_BYTES = 64 * 2**20
"""Bytes of a model that is copied to try its loading code; of larger ones it is not tried."""


@per_class
def own_code(cls: type) -> tuple[bool, bool]:
    """Returns whether a class brings code of its own for saving, and for loading."""
    import torch

    if cls.__module__.partition(".")[0] == "torch":
        return False, False
    root = torch.nn.Module
    savers = (root.state_dict, root._save_to_state_dict)
    loaders = (root.load_state_dict, root._load_from_state_dict)
    saving = (_own(cls, "state_dict"), _own(cls, "_save_to_state_dict"))
    loading = (_own(cls, "load_state_dict"), _own(cls, "_load_from_state_dict"), _own(cls, "get_extra_state"))
    return any(f and f not in savers for f in saving), any(f and f not in loaders for f in loading)


def _own(cls: type, name: str) -> Any:
    """The method, where it is not one of torch's classes that defines it."""
    definer = next((base for base in cls.__mro__ if name in vars(base)), object)
    return None if definer.__module__.partition(".")[0] == "torch" else getattr(cls, name)


def own_hooks(module: torch.nn.Module) -> tuple[bool, bool]:
    """Returns whether a module has hooks for saving, and for loading, that are not torch's own."""
    saving = (*module._state_dict_hooks.values(), *module._state_dict_pre_hooks.values())
    loading = (*module._load_state_dict_pre_hooks.values(), *module._load_state_dict_post_hooks.values())
    return any(map(_is_own, saving)), any(map(_is_own, loading))


def _is_own(hook: Any) -> bool:
    inner = getattr(hook, "hook", hook)
    inner = getattr(inner, "func", inner)
    return (getattr(inner, "__module__", None) or "").partition(".")[0] != "torch"


def dropped(model: torch.nn.Module, tensors: Places) -> Iterator[Item]:
    """Yields registered tensors that the model's own `state_dict` does not give, under whatever key."""
    held = tensors_in(state_of(model))
    places = {memory_of(tensor) for tensor in held.values()}
    absent = [key for key, (tensor, _) in tensors.items() if key not in held and memory_of(tensor) not in places]
    spare = [tensor for key, tensor in held.items() if key not in tensors]
    for key in absent:
        tensor, module = tensors[key]
        if any(_same(tensor, other) for other in spare):
            continue
        origin = origin_of(type(module), key.rpartition(".")[2]).origin
        if not tensor.requires_grad and origin == "constructed":
            continue  # a constant
        evidence = "" if tensor.requires_grad else "it is frozen" if _is_parameter(tensor) else "it is a buffer"
        yield _item("dropped", key, tensor, type(model), "lost" if tensor.requires_grad else "doubtful", evidence)


def _is_parameter(tensor: torch.Tensor) -> bool:
    import torch

    return isinstance(tensor, torch.nn.Parameter)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    if one.shape != other.shape or one.is_meta or other.is_meta:
        return False
    return torch.equal(one.detach().cpu().to(other.dtype), other.detach().cpu())


def _item(kind: Any, key: str, tensor: torch.Tensor, cls: type, grade: Grade, evidence: str) -> Item:
    info: TensorInfo = tensor_info(key, tensor)
    return Item(kind, key, type(tensor).__name__, cls.__name__, (info,), grade, evidence, key.rpartition(".")[2])


def ignored(model: torch.nn.Module, tensors: Places) -> Iterator[Item]:
    """Yields tensors that a copy of the model does not get back from the model's own state dict."""
    state = state_of(model)
    held = tensors_in(state)
    if sum(tensor.nbytes for tensor, _ in tensors.values() if not _is_lazy(tensor)) > MOST_BYTES:
        return
    places = {memory_of(tensor) for tensor in held.values()}
    saved = {key: place for key, place in tensors.items() if key in held or memory_of(place[0]) in places}
    if any(_is_lazy(tensor) or tensor.is_meta for tensor, _ in saved.values()):
        return
    with _quietly():
        try:
            loaded = _loaded(model, state, saved)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            because = f"it raises {type(error).__name__}: {short(str(error), 160)}"
            yield Item("ignored", "", type(model).__name__, type(model).__name__, (), "lost", because)
            return
    for key, (tensor, _) in saved.items():
        if loaded is not None and key in loaded and not _bits_equal(tensor, loaded[key]):
            yield _item("ignored", key, tensor, type(model), "lost", "")


def _loaded(model: torch.nn.Module, state: Mapping[str, Any], saved: Places) -> dict[str, torch.Tensor] | None:
    """The tensors of a copy that held other values and was then loaded; None where no copy can be made."""
    try:
        twin = copy.deepcopy(model)
        given = {
            key: value.detach().clone() if hasattr(value, "detach") else copy.deepcopy(value) for key, value in state.items()
        }
    except Exception:  # noqa: BLE001 - not every model can be copied
        return None
    copies = {key: tensor for key, tensor in _registered(twin) if key in saved}
    _disturb(copies.values())
    ordered = OrderedDict(given)
    if hasattr(state, "_metadata"):
        ordered._metadata = state._metadata  # type: ignore[attr-defined]
    twin.load_state_dict(ordered)
    return {key: tensor for key, tensor in _registered(twin) if key in saved}


def _copied(value: Any) -> Any:
    import torch

    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def _registered(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _disturb(tensors: Iterable[torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for tensor in {id(tensor): tensor for tensor in tensors}.values():
            if tensor.dtype is torch.bool:
                tensor.logical_not_()
            else:
                tensor.add_(1)


def _bits_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    same = one.shape == other.shape and one.dtype == other.dtype
    return same and bool(torch.equal(one.detach().nan_to_num(), other.detach().to(one.device).nan_to_num()))


def _is_lazy(tensor: torch.Tensor) -> bool:
    import torch

    return torch.nn.parameter.is_lazy(tensor)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with random_state_kept():
            yield
