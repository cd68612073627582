"""What two new objects of a small module hold in their plain attributes: the same as this one, or other values each time.

The module alone is built again, twice and with other seeds, from the arguments that its making was traced to. Nothing is printed,
and no random number is used up. What the two hold is kept for as long as the module lives, so that the next save asks nobody.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary, WeakSet

from intact.model.hyperparameters import hyperparameters_of
from intact.model.making.architecture import capture
from intact.model.making.building import unnoticed
from intact.model.making.rebuilding import rebuild
from intact.model.survival.loose import Search

if TYPE_CHECKING:
    import torch

    from intact.core.architecture import Architecture

MOST_BYTES = 16 << 20
"""Bytes of the tensors of a module that is built again."""

MOST_SECONDS = 0.3
"""For one module; a class that takes longer is not asked again."""

Outcome = Literal["same", "random", "other"]
Values = dict[str, Any]

_KEPT: WeakKeyDictionary[Any, tuple[Values, Values] | None] = WeakKeyDictionary()
_LIKELY: WeakKeyDictionary[Any, torch.nn.Module | None] = WeakKeyDictionary()
_REFUSED: WeakSet[type] = WeakSet()


def compared(module: torch.nn.Module, path: str, value: Any) -> Outcome | None:
    """Returns how a value relates to those of new objects of the module's class; None where no new object can be made.

    Args:
        module: The module that has it; it is not changed.
        path: What leads from the module to the value.
        value: A tensor or an array.
    """
    if module not in _KEPT:
        _KEPT[module] = _remade(module)
    kept = _KEPT[module]
    if kept is None:
        return None
    one, other = (values.get(path) for values in kept)
    if one is None or other is None:
        return "other"
    if not _equal(one, other):
        return "random"
    return "same" if _equal(one, value) else "other"


def likely_twin(model: torch.nn.Module, architecture: Architecture) -> torch.nn.Module | None:
    """Returns a model without memory, freshly built from arguments that are not proved; the same one for the same model.

    Args:
        model: Its keys, shapes and plain attributes are those of what is returned.
        architecture: What was captured of it.
    """
    if model not in _LIKELY:
        _LIKELY[model] = _built_on_meta(model, architecture)
    return _LIKELY[model]


def _built_on_meta(model: torch.nn.Module, architecture: Architecture) -> torch.nn.Module | None:
    if architecture.constructor.how == "none" or architecture.constructor.uncaptured:
        return None
    try:
        with unnoticed():
            made = rebuild(_trusted(architecture), type(model), device="meta")
        return made if _form(made) == _form(model) else None
    except Exception:  # noqa: BLE001 - the user's constructor may raise anything; then nothing is known
        return None


def _trusted(architecture: Architecture) -> Architecture:
    """The architecture with its arguments taken for proved: what is in question may be all that differs."""
    return replace(architecture, constructor=replace(architecture.constructor, proved=True))


def _remade(module: torch.nn.Module) -> tuple[Values, Values] | None:
    cls = type(module)
    size_bytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()) if not _is_lazy(tensor))
    if cls in _REFUSED or size_bytes > MOST_BYTES:
        return None
    begun_s, made = time.perf_counter(), None
    try:
        architecture = capture(module).architecture
        if architecture.constructor.how != "none" and not architecture.constructor.uncaptured:
            trusted = _trusted(architecture)
            with unnoticed():
                made = _values_of(trusted, module, 1), _values_of(trusted, module, 2)
    except Exception:  # noqa: BLE001 - the user's constructor may raise anything; then nothing is known
        made = None
    if made is None or time.perf_counter() - begun_s > MOST_SECONDS:
        _REFUSED.add(cls)
    return made


def _values_of(architecture: Architecture, module: torch.nn.Module, seed: int) -> Values:
    """What one new object holds; nothing where its registered tensors or its plain attributes are others."""
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    made = rebuild(architecture, type(module), device="cpu")
    if _form(made) != _form(module):
        return {}
    search = Search({id(tensor) for tensor in (*made.parameters(), *made.buffers())} | {id(inner) for inner in made.modules()})
    loose = {found.within: found.value for found in search.of("", made)}
    buffers = {name: buffer for name, buffer in made.named_buffers(recurse=False) if name in made._non_persistent_buffers_set}
    return {path: value for path, value in (*loose.items(), *buffers.items()) if not isinstance(value, torch.nn.Module)}


def _form(module: torch.nn.Module) -> tuple[Any, ...]:
    held = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    state = [(key, tuple(tensor.shape)) for key, tensor in held]
    plain = hyperparameters_of(module, {})
    return state, {name: value for name, value in plain.items() if not isinstance(value, bool)}


def _is_lazy(tensor: torch.Tensor) -> bool:
    import torch

    return torch.nn.parameter.is_lazy(tensor)


def _equal(one: Any, other: Any) -> bool:
    import torch

    a, b = _tensor(one), _tensor(other)
    if a is None or b is None or a.shape != b.shape or a.is_meta or b.is_meta:
        return False
    try:
        return bool(torch.equal(a.to(b.dtype).nan_to_num(), b.nan_to_num())) or bool(torch.equal(a, b.to(a.dtype)))
    except (RuntimeError, TypeError):  # dtypes and layouts that torch does not compare
        return False


def _tensor(value: Any) -> torch.Tensor | None:
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None
