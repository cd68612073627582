"""A model as it is, so that it can be put back bit for bit: structure, attributes, and every tensor's memory.

Loading code may do anything to a model: copy, replace tensors, add buffers, change the class of a lazy parameter, set attributes.
So what is kept is not what we mean to change but all that a module consists of. Restoring may be interrupted and done again.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.model.state import memory_of, modules_of, tensors_of

if TYPE_CHECKING:
    import torch

_CONTAINERS = (dict, OrderedDict, list, set)


@dataclass(frozen=True, slots=True)
class _Module:
    """One module: its class, its attributes, and what stands in those of them that are plain containers."""

    module: torch.nn.Module
    cls: type
    attributes: dict[str, Any]
    contents: tuple[tuple[Any, Any], ...]
    give_back: Callable[[], object] | None

    def restore(self) -> None:
        if self.give_back is not None:
            self.give_back()
        object.__setattr__(self.module, "__class__", self.cls)
        self.module.__dict__.clear()
        self.module.__dict__.update(self.attributes)
        for container, content in self.contents:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor: an alias of the memory that it had, and a copy of what stood there."""

    tensor: torch.Tensor
    cls: type
    alias: torch.Tensor | None
    content: torch.Tensor | None
    requires_grad: bool

    def restore(self) -> None:
        import torch

        lazy = issubclass(self.cls, (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer))
        if lazy and type(self.tensor) is not self.cls:
            self.tensor.data = torch.empty(0, dtype=self.tensor.dtype, device=self.tensor.device)
            self.tensor.__class__ = self.cls
        if self.alias is None:
            return
        if self.content is not None:
            _dense(self.alias).copy_(self.content)
        if memory_of(self.tensor) != memory_of(self.alias):
            self.tensor.data = self.alias
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)


class Snapshot:
    """Everything that a load can change in a model.

    Args:
        model: It is not changed.
        state: Its state dict with live tensors, which may hold tensors that no module registers.
        contents: Whether the memory of tensors is copied too; without, only structure can be put back.
    """

    def __init__(self, model: torch.nn.Module, state: Mapping[str, Any], *, contents: bool = True) -> None:
        modules = list({id(module): module for _, module in modules_of(model)}.values())
        self._modules = [_module(module, extra_state=contents) for module in modules]
        self._tensors = list(_kept(_all_tensors(modules, state))) if contents else []

    def restore(self) -> None:
        """Puts everything back; where the user interrupts, it is finished first and the interruption raised afterwards."""
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                self._restore()
                break
            except KeyboardInterrupt as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _restore(self) -> None:
        import torch

        with torch.no_grad():
            for module in self._modules:
                module.restore()
            for tensor in self._tensors:
                tensor.restore()


def _module(module: torch.nn.Module, *, extra_state: bool) -> _Module:
    attributes = dict(module.__dict__)
    contents = tuple((value, value.copy()) for value in attributes.values() if type(value) in _CONTAINERS)
    return _Module(module, type(module), attributes, contents, _extra_state(module) if extra_state else None)


def _extra_state(module: torch.nn.Module) -> Callable[[], object] | None:
    """What gives a module its present extra state back, where it has one that can be copied."""
    import torch

    if type(module).get_extra_state is torch.nn.Module.get_extra_state:
        return None
    try:
        state = copy.deepcopy(module.get_extra_state())
    except Exception:  # noqa: BLE001 - the user's code; attributes are put back all the same
        return None

    def give_back() -> None:
        with suppress(Exception):
            module.set_extra_state(copy.deepcopy(state))

    return give_back


def _all_tensors(modules: list[torch.nn.Module], state: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    import torch

    for module in modules:
        yield from (tensor for _, tensor in tensors_of(module))
        yield from (value for value in module.__dict__.values() if isinstance(value, torch.Tensor))
    yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def _kept(tensors: Iterator[torch.Tensor]) -> Iterator[_Tensor]:
    """One record for each tensor, one copy for each memory."""
    import torch

    contents: dict[object, torch.Tensor] = {}
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        if torch.nn.parameter.is_lazy(tensor):
            yield _Tensor(tensor, type(tensor), None, None, tensor.requires_grad)
            continue
        alias, memory = tensor.detach(), memory_of(tensor)
        if memory not in contents and not tensor.is_meta:
            contents[memory] = _dense(alias).clone()
        yield _Tensor(tensor, type(tensor), alias, contents.get(memory), tensor.requires_grad)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without the repetitions of an expanded dimension, which cannot be copied into."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or 0 not in tensor.stride():
        return tensor
    return tensor[tuple(slice(0, 1) if step == 0 else slice(None) for step in tensor.stride())]
