"""Values that an argument of a constructor may have had, the likeliest first.

They come from the instance: an attribute of the same name, an entry of its configuration, what the text of the constructor says,
the default, and at last plain values found anywhere in the model. None is believed; a rebuilding proves one of them.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz

from intact.model.hyperparameters import CONFIGURATIONS
from intact.model.making.arguments import Placeholder
from intact.model.making.evidence import hints_of, names_used_as_text
from intact.model.making.signatures import required
from intact.model.making.tokens import Tokens, hashable, shape_token

if TYPE_CHECKING:
    import torch

MOST_OF_POOL = 24
"""Plain values taken from anywhere; each may cost a rebuilding."""

_POOL_MODULES = 200
_LONGEST = 64
_NONE = object()


class Candidates:
    """The candidates of one module, found once.

    Args:
        module: The instance.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._hints: dict[str, list[Any]] = {}
        for name, value in hints_of(module):
            self._hints.setdefault(name, []).append(value)
        self._pool: list[tuple[str, Any]] | None = None

    def of(self, parameter: inspect.Parameter) -> list[Any]:
        """Returns values for one parameter without repetitions; the first is the best guess."""
        found: list[Any] = []
        seen: set[Any] = set()
        for value in self._in_order(parameter):
            token = Tokens({}, shape_token).of(value) if not hasattr(value, "named_modules") else id(value)
            token = token if hashable(token) else id(value)
            if token not in seen:
                seen.add(token)
                found.append(value)
        return found[: MOST_OF_POOL + 8]

    def evident(self, parameter: inspect.Parameter, *, by_text: bool) -> bool:
        """Tells whether the instance says anything of a parameter, so that its candidates are more than guesses.

        Args:
            parameter: Of its constructor.
            by_text: Whether it is enough that the text of the constructor suggests something.
        """
        if next(self._named(parameter.name), _NONE) is not _NONE:
            return True
        return by_text and any(one is not None and not isinstance(one, type) for one in self._hints.get(parameter.name, ()))

    def _in_order(self, parameter: inspect.Parameter) -> Iterator[Any]:
        name, default = parameter.name, parameter.default
        if parameter.kind is parameter.VAR_POSITIONAL:
            yield from self._many(name)
        elif parameter.kind is parameter.VAR_KEYWORD:
            yield from (value for value in self._named(name) if isinstance(value, Mapping))
            yield {}
        else:
            named = [value for value in self._named(name) if not _is_tensor(value)]
            yield from named
            hints = [value for value in self._hints.get(name, ()) if not _is_tensor(value)]
            late = [value for value in hints if value is None or (default is None and hasattr(value, "_modules"))]
            yield from (value for value in hints if not any(value is one for one in late))
            if default is not parameter.empty:
                yield default
            yield from late
            yield from self._derived(named)
            yield from self._tensors(name)
            yield from self._guesses(parameter)

    def _tensors(self, name: str) -> Iterator[Any]:
        """A tensor that was an argument and is state as well: itself where it is small, else its form."""
        held = [registered[name] for registered in (self._module._parameters, self._module._buffers) if name in registered]
        for tensor in [*held, *self._hints.get(name, ())]:
            if _is_tensor(tensor) and not hasattr(tensor, "cls_to_become"):
                yield tensor
                yield Placeholder(tensor)

    def _many(self, name: str) -> Iterator[Any]:
        for value in [*self._named(name), *self._hints.get(name, ())]:
            items = list(value._modules.values()) if hasattr(value, "_modules") else value
            if isinstance(items, list | tuple):
                yield tuple(items)
        yield ()

    def _named(self, name: str) -> Iterator[Any]:
        """What the instance holds under the name, and what its configuration does."""
        module = self._module
        for spelt in (name, f"_{name}", f"{name}_"):
            for held in (vars(module), module._modules, module._parameters, module._buffers):
                if spelt in held:
                    value = held[spelt]
                    tensor = _is_tensor(value) or (value is None and held is not vars(module))
                    yield (value is not None) if tensor else value
        for place, value in vars(module).items():
            if place.lstrip("_") in CONFIGURATIONS and (entry := _entry(value, name)) is not _NONE:
                yield entry

    def _derived(self, named: list[Any]) -> Iterator[Any]:
        """What a module of the same name may have been made from: a number, a class, the name of a class."""
        for value in named:
            if not hasattr(value, "_modules"):
                if callable(value) and hasattr(value, "__name__"):
                    yield value.__name__
                continue
            yield from (
                plain
                for attribute, plain in vars(value).items()
                if attribute[0] != "_" and _plain(plain) and attribute != "training"
            )
            yield type(value)
            yield len(value._modules)
            yield from _spellings(type(value).__name__)

    def _guesses(self, parameter: inspect.Parameter) -> Iterator[Any]:
        default = parameter.default
        if isinstance(default, bool) or parameter.annotation in (bool, "bool"):
            yield from (True, False)
            return
        if default is None or isinstance(default, str) or parameter.annotation in (str, "str"):
            yield from names_used_as_text(type(self._module))
        kind = type(default) if default not in (parameter.empty, None) else object
        ranked = sorted(self._values(), key=lambda row: -fuzz.ratio(row[0].lower(), parameter.name.lower()))
        fitting = [
            value for _, value in ranked if isinstance(value, kind) and (required(parameter) or not isinstance(value, bool))
        ]
        yield from fitting[:MOST_OF_POOL]

    def _values(self) -> list[tuple[str, Any]]:
        """Plain values in the model with their names, nearest first, and the sizes of its tensors."""
        if self._pool is None:
            self._pool = list(_pool(self._module))
        return self._pool


def _pool(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    seen: set[Any] = set()
    for count, (path, child) in enumerate(module.named_modules()):
        if count >= _POOL_MODULES:
            return
        name = path.rpartition(".")[2]
        rows = [(attribute, value) for attribute, value in vars(child).items() if attribute[0] != "_" and attribute != "training"]
        rows += [(name, size) for tensor in child._parameters.values() if tensor is not None for size in _sizes(tensor)]
        buffers = [size for tensor in child._buffers.values() if tensor is not None for size in _sizes(tensor)]
        rows += [(name, size * factor) for size in buffers for factor in (1, 2)]  # tables of sines and cosines are halves
        rows += [(name, len(child._modules))] if child._modules else []
        for attribute, value in rows:
            key = (attribute, type(value), value) if _plain(value) else None
            if key is not None and key not in seen:
                seen.add(key)
                yield attribute, value
        if child is not module:
            yield name, type(child)
            if path.count(".") < 2:
                yield name, child


def _sizes(tensor: torch.Tensor) -> tuple[int, ...]:
    return () if hasattr(tensor, "cls_to_become") else tuple(tensor.shape)


def _entry(configuration: Any, name: str) -> Any:
    held = configuration if isinstance(configuration, Mapping) else getattr(configuration, "__dict__", {})
    return held[name] if isinstance(held, Mapping) and name in held else _NONE


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) <= 8 and all(isinstance(item, int | float | str) for item in value)
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _LONGEST)


def _spellings(name: str) -> Iterator[str]:
    yield from (name.lower(), name)


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def container_values(module: torch.nn.Module) -> dict[str, Any] | None:
    """Returns the arguments of torch's own containers, which are their children; None for every other module."""
    from torch import nn

    init: Any = type(module).__init__  # compared, not called
    names = list(module._modules)
    numbered = names == [str(place) for place in range(len(names))]
    children = list(module._modules.values())
    if init is nn.Sequential.__init__:
        return {"args": tuple(children) if numbered else (OrderedDict(module._modules),)}
    if init is nn.ModuleList.__init__ and numbered:
        return {"modules": children}
    if init is nn.ModuleDict.__init__:
        return {"modules": dict(module._modules)}
    if isinstance(module, nn.ParameterList) and init is nn.ParameterList.__init__:
        return {"values": [_state(value) for value in module]}
    if isinstance(module, nn.ParameterDict) and init is nn.ParameterDict.__init__:
        return {"parameters": {name: _state(value) for name, value in module.items()}}
    return None


def _state(value: Any) -> Any:
    return Placeholder(value) if _is_tensor(value) else value
