"""A run of a model that leaves no trace: state, modes, random numbers, caches, whatever its `forward` touches is put back.

Beside what a snapshot of the model keeps there are tensors in lists and mappings that modules hold as attributes, mappings within
mappings, and random number generators.
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from intact.core.collecting import collector_paused
from intact.files.digests import digest
from intact.model.contents import bytes_of
from intact.model.replay.randomness import generators_kept
from intact.model.snapshot import Snapshot
from intact.model.state import memory_of, modules_of, state_of, tensors_of

if TYPE_CHECKING:
    import torch

MOST_NODES = 100_000
"""Lists and mappings, and entries of them, that are looked at on one model."""

_CONTAINERS = (dict, OrderedDict, list, set)


Look = dict[str, tuple[Any, ...]]
"""What tells whether a tensor is the one that it was, with the bits that it had; plain attributes have a `!` before their
path."""


class State:
    """All that a run can change in a model, to go back to as often as needed.

    Copying everything back takes longer than a digest of it, and a run in eval mode hardly ever changes a tensor; so attributes
    are put back always, and tensors only where their bits are not what they were.

    Args:
        model: It is not changed.
        refill: Puts the values of the state dict into the model again, where they can be had without keeping a copy of them.
    """

    def __init__(self, model: torch.nn.Module, refill: Callable[[], None] | None = None) -> None:
        import torch

        self._model, self._refill = model, refill
        self._nested = list(_nested(model))
        values = [value for container, _ in self._nested for value in _values(container)]
        self._loose = [value for value in values if isinstance(value, torch.Tensor)]
        kept = {f"[{number}]": tensor for number, tensor in enumerate(self._loose)}
        self._structure = Snapshot(model, {}, contents=False)
        self._whole = Snapshot(model, kept) if refill is None else None
        self._apart = _copies(model, self._loose) if refill is not None else []
        self._has_extra = any(type(m).get_extra_state is not torch.nn.Module.get_extra_state for _, m in modules_of(model))
        self._latest: Look | None = None
        self._before = self._look()

    def restore(self) -> None:
        """Puts everything back."""
        self._structure.restore()
        seen = self._latest if self._latest is not None else self.look()
        self._latest = None
        if self._has_extra or any(seen.get(key) != row for key, row in self._before.items()):
            self._put_back()
        for container, content in self._nested:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)

    def _put_back(self) -> None:
        import torch

        if self._whole is not None:
            self._whole.restore()
        with torch.no_grad():
            for tensor, alias, copy in self._apart:
                alias.copy_(copy)
                tensor.data = alias
        if self._refill is not None:
            self._refill()

    def look(self) -> Look:
        """Returns how the tensors are; until `run` is told of, nobody needs to look again."""
        self._latest = self._look()
        return self._latest

    def run(self) -> None:
        """Notes that something is about to run."""
        self._latest = None

    def _look(self) -> Look:
        rows = [*_tensors(self._model), *((f"![{number}]", tensor) for number, tensor in enumerate(self._loose))]
        return {key: (id(tensor), tensor.requires_grad, type(tensor), *_bits(tensor)) for key, tensor in rows}

    def first_look(self) -> Look:
        """Returns how the tensors were at the beginning."""
        return self._before


def written(before: Look, after: Look) -> tuple[str, ...]:
    """Returns the keys of parameters and buffers whose bits changed."""
    return tuple(key for key, row in before.items() if key[0:1] != "!" and after.get(key, row)[-1] != row[-1])


def _copies(model: torch.nn.Module, loose: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Tensors that a state dict does not have, each with its memory and a copy of that."""
    saved = {id(tensor) for tensor in state_of(model).values()}
    apart = [tensor for _, tensor in _tensors(model) if id(tensor) not in saved and is_plain(tensor)]
    return [(tensor, tensor.detach(), tensor.detach().clone()) for tensor in (*apart, *filter(is_plain, loose))]


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    seen: set[int] = set()
    for path, module in modules_of(model):
        if id(module) in seen:
            continue
        seen.add(id(module))
        prefix = f"{path}." if path else ""
        yield from ((prefix + name, tensor) for name, tensor in tensors_of(module))
        yield from ((f"!{prefix}{name}", value) for name, value in vars(module).items() if isinstance(value, torch.Tensor))


def _bits(tensor: torch.Tensor) -> tuple[object, object]:
    """Where the memory of a tensor is, and the digest of it; what has no bits of its own counts as changed by a new place."""
    return memory_of(tensor), digest(bytes_of(tensor)) if is_plain(tensor) else None


def is_plain(tensor: torch.Tensor) -> bool:
    """Tells whether a tensor has bits of its own that can be read."""
    import torch

    dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized and not tensor.is_nested
    return dense and not torch.nn.parameter.is_lazy(tensor)


@contextmanager
def undisturbed(model: torch.nn.Module, refill: Callable[[], None] | None = None) -> Iterator[State]:
    """Gives a state to go back to, and goes back to it at the end; in between no gradient and no autocast."""
    import torch

    with ExitStack() as stack:
        stack.enter_context(collector_paused())
        state = State(model, refill)
        stack.enter_context(generators_kept(model))
        stack.callback(state.restore)
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for kind in {tensor.device.type for tensor in model.parameters()} | {"cpu"}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_eagerly(model))
        yield state


@contextmanager
def _eagerly(model: torch.nn.Module) -> Iterator[None]:
    """Runs compiled modules as they were written: compiling takes minutes, and compiled code calls no hooks."""
    compiled = "torch._dynamo.eval_frame" in sys.modules and any(
        type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None for module in model.modules()
    )
    if not compiled:
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


def in_eval_mode(model: torch.nn.Module) -> None:
    """Puts every module into eval mode, without asking the `train` of its class, which may do more than that."""
    for _, module in modules_of(model):
        module.training = False


def _nested(model: torch.nn.Module) -> Iterator[tuple[Any, Any]]:
    """Yields every plain container that modules hold as an attribute, at any depth, with a copy of it."""
    ordinary = _ordinary()
    modules = {id(module): module for _, module in modules_of(model)}.values()
    waiting = [value for module in modules for name, value in vars(module).items() if name not in ordinary]
    seen, looked_at = set[int](), 0
    while waiting and looked_at < MOST_NODES:
        value = waiting.pop()
        if not isinstance(value, (*_CONTAINERS, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        looked_at += 1 + len(value)
        waiting.extend(_values(value))
        if not isinstance(value, tuple) and type(value) in _CONTAINERS:
            yield value, value.copy()


@lru_cache(maxsize=1)
def _ordinary() -> frozenset[str]:
    """Attributes that every module has; a snapshot keeps what stands in them."""
    import torch

    return frozenset(vars(torch.nn.Module()))


def _values(container: Any) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else list(container)
