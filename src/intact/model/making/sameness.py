"""Whether two models are the same in everything but the values that a checkpoint holds.

A portrait lists, for each place of a model, what stands there: class, printed form, tensors with shape, dtype and ties, and every
plain attribute. Tensors that no state dict holds are compared by value, since loading does not bring them back. Left out is what
says nothing of how the model was built: training mode, `requires_grad`, gradients, devices, and tensors that a run left behind.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.model.making.recording import ATTRIBUTE
from intact.model.making.references import find
from intact.model.making.tokens import Tokens
from intact.model.state import memory_of

if TYPE_CHECKING:
    import torch

_OWN = frozenset(
    {
        "training",
        "_parameters",
        "_buffers",
        "_modules",
        "_non_persistent_buffers_set",
        "_compiled_call_impl",
        "_is_torch_compile",
        ATTRIBUTE,
    }
    | {"_is_hf_initialized"}  # a mark that transformers leaves on everything it has filled; no computation asks for it
)
_EMPTY: tuple[Any, ...] = ((dict,), (list,), (type(None), None))
_ABSENT = ("absent",)
_LOOKED_AT_BYTES = 4096
_LONGEST_WORDS = 120
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Portrait:
    """What stands where in one model.

    Attributes:
        facts: Token by path of the module and name of the fact; hashable.
        tensors: Registered tensors, in the order of `facts`, as dtype, shape and tie.
        unsaved: Tensors that no state dict holds.
    """

    facts: dict[Place, Any]
    tensors: dict[Place, Any]
    unsaved: dict[Place, torch.Tensor]

    def key(self) -> Key:
        """Returns what is equal for two portraits of a model that was not changed in between."""
        marks = tuple(_Mark(tensor) for tensor in self.unsaved.values())
        return Key((tuple(self.facts.items()), tuple(self.tensors.values()), marks))


class Key:
    """Something large to look up by, hashed once."""

    __slots__ = ("_hash", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self._value)
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and hash(self) == hash(other) and bool(self._value == other._value)


class _Mark:
    """Whether a tensor is the very same and still holds the same values, as far as that costs nothing.

    A later tensor may stand at the same address, so the first one is asked whether it is still there; `.data` goes past the
    version counter, so small values are looked at.
    """

    __slots__ = ("_facts", "_tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = weakref.ref(tensor)
        real = _real(tensor)
        small = real and tensor.device.type == "cpu" and tensor.numel() * tensor.element_size() <= _LOOKED_AT_BYTES
        values = hash(tuple(tensor.detach().reshape(-1).tolist())) if small else 0
        self._facts = (id(tensor), tensor.data_ptr() if real else 0, _version(tensor), values)

    def __hash__(self) -> int:
        return hash(self._facts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Mark):
            return False
        tensor = self._tensor()
        return tensor is not None and tensor is other._tensor() and self._facts == other._facts


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two models are not the same.

    Attributes:
        place: Path and name, as in `blocks.0.drop.p`.
        found: What the model has, in words.
        built: What the rebuilt one has.
        structural: Whether classes, modules or state tensors differ, not a plain attribute.
    """

    place: str
    found: str
    built: str
    structural: bool

    def __str__(self) -> str:
        """A clause for a reason."""
        return f"`{self.place}` is {self.found} in the model and {self.built} in the rebuilt one"


def portrait_of(model: torch.nn.Module) -> Portrait:
    """Returns the portrait of a model, which is not changed."""
    return _Painter(model).paint()


class _Painter:
    """Walks one model once."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._facts: dict[Place, Any] = {}
        self._tensors: dict[Place, Any] = {}
        self._unsaved: dict[Place, torch.Tensor] = {}
        self._places: dict[int, Any] = {}
        self._storages: dict[int, list[tuple[str, torch.Tensor]]] = {}
        self._now: tuple[str, str, Any] = ("", "", None)
        self._tokens = Tokens(self._places, self._loose_tensor)

    def paint(self) -> Portrait:
        modules = list(self._model.named_modules())
        self._places.update((id(module), ("module", path)) for path, module in modules)
        for path, module in modules:
            self._registered(path, module)
        for path, module in modules:
            self._attributes(path, module)
        return Portrait(self._facts, self._tensors, self._unsaved)

    def _registered(self, path: str, module: torch.nn.Module) -> None:
        facts = self._facts
        facts[path, "its class"] = _class_token(type(module))
        children = tuple((name, self._places.get(id(child))) for name, child in module._modules.items())
        if children:
            facts[path, "its modules"] = children
        persistent = module._non_persistent_buffers_set
        for name, tensor in module._parameters.items():
            self._tensor(path, name, "parameter", tensor)
        for name, buffer in module._buffers.items():
            self._tensor(path, name, "unsaved buffer" if name in persistent else "buffer", buffer)
            if buffer is not None and name in persistent:
                self._unsaved[path, name] = buffer

    def _tensor(self, path: str, name: str, kind: str, tensor: torch.Tensor | None) -> None:
        place = (path, name)
        if tensor is None:
            self._facts[place] = ("no", kind)
            return
        if id(tensor) not in self._places:
            self._places[id(tensor)] = ("tensor at", self._first_key(tensor, f"{path}.{name}" if path else name))
        shape = None if hasattr(tensor, "cls_to_become") else tuple(tensor.shape)
        self._facts[place] = (kind, shape, self._places[id(tensor)])
        self._tensors[place] = tensor.dtype

    def _first_key(self, tensor: torch.Tensor, key: str) -> str:
        """The key of the first tensor that is the same view of the same memory; asked in full only where storages are shared."""
        try:
            storage: Any = tensor.untyped_storage()._cdata
        except (RuntimeError, ValueError, AttributeError):
            return key  # sparse, nested and lazy tensors have no storage of their own
        sharing = self._storages.setdefault(storage, [])
        sharing.append((key, tensor))
        if len(sharing) == 1:
            return key
        memory = memory_of(tensor)
        return next(first for first, other in sharing if other is tensor or memory_of(other) == memory)

    def _attributes(self, path: str, module: torch.nn.Module) -> None:
        attributes = vars(module)
        for name in sorted(attributes):
            if name in _OWN or name[:9] == "_backward" or name == "_is_full_backward_hook":
                continue
            value = attributes[name]
            if "_hooks" in name and isinstance(value, dict):
                if not value:
                    continue
                value = list(value.values())  # their keys are numbers that count up in the process
            self._now = (path, name, value)
            self._tokens.at((path, name))
            self._facts[path, name] = self._tokens.of(value)

    def _loose_tensor(self, tensor: torch.Tensor) -> Any:
        """A tensor that no module registers: its values are compared where it stands as an attribute of its own."""
        if self._now[2] is tensor:
            self._unsaved[self._now[:2]] = tensor
        shape = None if hasattr(tensor, "cls_to_become") else tuple(tensor.shape)
        return ("loose tensor", tensor.dtype, shape)


def _class_token(cls: type) -> Any:
    """The class itself; for one that a constructor makes anew each time, such as a parametrized layer, where it comes from."""
    if find(cls.__module__, cls.__qualname__) is cls or "<locals>" in cls.__qualname__:
        return cls
    return ("class", cls.__module__, cls.__qualname__, *cls.__bases__)


def differences(found: Portrait, built: Portrait) -> Iterator[Difference]:
    """Yields where two models differ, in the order of the first one's modules."""
    mark = object()
    for place, token in found.facts.items():
        other = built.facts.get(place, mark)
        if token != other and not _passing(token, _ABSENT if other is mark else other) and not _same_device(token, other):
            yield _difference(place, token, _ABSENT if other is mark else other)
    for place, token in built.facts.items():
        if place not in found.facts and not _passing(_ABSENT, token):
            yield _difference(place, _ABSENT, token)
    yield from _other_values(found, built)


def changed_places(found: Portrait, built: Portrait) -> list[Place]:
    """Returns path and name of everything that differs between two models, values of tensors aside."""
    places = [*found.facts, *(place for place in built.facts if place not in found.facts)]
    return [place for place in places if _differs(found.facts.get(place, _ABSENT), built.facts.get(place, _ABSENT))]


def _differs(token: Any, other: Any) -> bool:
    return token != other and not _passing(token, other) and not _same_device(token, other)


def dtype_change(found: Portrait, built: Portrait) -> str | None:
    """Returns the dtype that all floating-point state was cast to, "" where it was not; None where dtypes differ otherwise."""
    pairs = [(dtype, built.tensors[place]) for place, dtype in found.tensors.items() if place in built.tensors]
    if all(dtype == other for dtype, other in pairs):
        return ""
    if any(dtype != other and not (_floating(dtype) and _floating(other)) for dtype, other in pairs):
        return None
    targets = {dtype for dtype, _ in pairs if _floating(dtype)}
    return str(targets.pop()).removeprefix("torch.") if len(targets) == 1 else None


def dtype_differences(found: Portrait, built: Portrait) -> Iterator[Difference]:
    """Yields the tensors whose dtypes differ."""
    for place, dtype in found.tensors.items():
        if place in built.tensors and built.tensors[place] != dtype:
            yield Difference(_name(place), str(dtype), str(built.tensors[place]), True)


def _floating(dtype: torch.dtype) -> bool:
    return bool(dtype.is_floating_point)


def _passing(found: Any, built: Any) -> bool:
    """A tensor, or a container of tensors, that a run left where the constructor leaves nothing."""
    nothing = built == _ABSENT or built in _EMPTY
    return nothing and (_only_tensors(found) or (built == _ABSENT and found in _EMPTY))


def _only_tensors(token: Any) -> bool:
    if not isinstance(token, tuple) or not token:
        return False
    if token[0] == "loose tensor":
        return True
    if token[0] in (list, tuple) and len(token) > 1:
        return all(_only_tensors(item) for item in token[1:])
    return (
        token[0] is dict
        and len(token) > 1
        and all(isinstance(row, tuple) and len(row) == 2 and _only_tensors(row[1]) for row in token[1:])
    )


def _same_device(found: Any, built: Any) -> bool:
    """A device that the rebuilding chose: the model may stand anywhere."""
    return isinstance(found, tuple) and isinstance(built, tuple) and found[:1] == built[:1] == ("device",) and len(found) == 2


def _other_values(found: Portrait, built: Portrait) -> Iterator[Difference]:
    for place, tensor in found.unsaved.items():
        other = built.unsaved.get(place)
        if other is not None and _real(tensor) and _real(other) and not close(tensor, other):
            yield Difference(_name(place), "a tensor of other values, which no state dict holds,", "another one", False)


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Tells whether two tensors hold the same values up to the rounding of the coarser dtype."""
    import torch

    if first.shape != second.shape:
        return False
    a, b = first.detach().cpu(), second.detach().cpu()
    if not (a.is_floating_point() or a.is_complex()):
        return bool(torch.equal(a, b.to(a.dtype)))
    exact = max(torch.finfo(a.dtype).eps, torch.finfo(b.dtype).eps) if b.is_floating_point() or b.is_complex() else 0.0
    wide = torch.complex128 if a.is_complex() else torch.float64
    a, b = a.to(wide), b.to(wide)
    return bool(torch.allclose(a, b, rtol=8 * exact, atol=8 * exact, equal_nan=True))


def _real(tensor: torch.Tensor) -> bool:
    import torch

    plain = tensor.layout == torch.strided and not tensor.is_quantized and not torch.nn.parameter.is_lazy(tensor)
    return plain and not tensor.is_meta


def _version(tensor: torch.Tensor) -> int:
    return int(tensor._version) if not tensor.is_inference() else 0


def _difference(place: Place, found: Any, built: Any) -> Difference:
    structural = place[1] in ("its class", "its modules") or any(
        isinstance(token, tuple) and token[:1] in (("parameter",), ("buffer",), ("unsaved buffer",), ("no",))
        for token in (found, built)
    )
    return Difference(_name(place), _words(found, built), _words(built, found), structural)


def _name(place: Place) -> str:
    path, name = place
    if name.startswith("its "):
        return path or "(root)"
    return f"{path}.{name}" if path else name


def _is_children(token: Any) -> bool:
    return isinstance(token, tuple) and bool(token) and isinstance(token[0], tuple)


def _words(token: Any, other: Any) -> str:
    """A token for a reader, cut where it is long."""
    if token == _ABSENT:
        return "without children" if _is_children(other) else "absent"
    if _is_children(token):
        return f"a module with the children {', '.join(str(row[0]) for row in token)}"[:_LONGEST_WORDS]
    if not isinstance(token, tuple):
        name = f"{getattr(token, '__module__', '')}.{getattr(token, '__qualname__', '')}".strip(".")
        return f"{'a' if isinstance(token, type) else 'the function'} {name}" if callable(token) else repr(token)[:_LONGEST_WORDS]
    if token[:1] in (("parameter",), ("buffer",), ("unsaved buffer",)):
        tied = isinstance(other, tuple) and len(other) == 3 and token[2] != other[2]
        return f"a {token[0]} of shape {list(token[1] or ())}" + (f" in the memory of `{token[2][1]}`" if tied else "")
    if token and isinstance(token[0], type):
        plain = len(token) == 2 and not isinstance(token[1], tuple | type)
        return repr(token[1])[:_LONGEST_WORDS] if plain else f"another {token[0].__name__}"
    if token[:1] == ("class",):
        return f"a {token[1]}.{token[2]}"
    return (
        f"a function `{token[1].co_name}`"
        if token[:1] == ("function",)
        else " ".join(str(part) for part in token)[:_LONGEST_WORDS]
    )
