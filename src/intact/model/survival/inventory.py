"""Everything on a live model that a save would lose, double or make wrong, as records without tensors.

One pass over the modules looks at what is registered and at the types of plain attributes; only what looks wrong is judged, by
the source of its class. Every save does this, so a model in which nothing looks wrong costs a walk and no more. Nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intact.core.inventory import Grade, Inventory, Item
from intact.core.tensor import TensorInfo
from intact.model.expectation import tensor_info
from intact.model.state import modules_of, storage_address, tensors_of
from intact.model.survival.effects import effects_of
from intact.model.survival.first_use import flags_of, forgotten_flags, late_state, makes_state_late
from intact.model.survival.flow import RANDOM_CALLS, RANDOM_MEMBERS
from intact.model.survival.loose import Loose, Search, is_numbers, own_attributes
from intact.model.survival.methods import is_of_library, methods_of, names_in, per_class
from intact.model.survival.origins import Judgement, origin_of
from intact.model.survival.pairs import hooked_names, parted, ties_its_own, untied, untied_from
from intact.model.survival.registered import Registered, overlaps, wrong_tensors
from intact.model.survival.remaking import compared
from intact.model.survival.savers import dropped, ignored, own_code, own_hooks

if TYPE_CHECKING:
    import torch

LOST = frozenset({"random", "accumulated", "first-use"})
"""Origins of values that a new object does not have."""

DOUBTFUL = frozenset({"later", "outside"})
"""Origins of values that a new object may have, if somebody gives them to it again."""


ASKED = frozenset({"random", "opaque", "unknown", "later", "outside"})
"""Origins for which new objects of the class are asked, where they can be made."""


DEEPEST = 4
"""Unregistered modules within unregistered modules that are followed."""


def take_inventory(
    model: torch.nn.Module, twin: torch.nn.Module | None = None, likely: torch.nn.Module | None = None
) -> Inventory:
    """Returns what stands on a model beside its state dict, or in it without being worth saving.

    Args:
        model: It is not changed.
        twin: The same model freshly built from its constructor's arguments, where that is proved: then what its constructor makes
            (ties, parametrizations, buffers) is no question.
        likely: A model freshly built from arguments that are probably those, where there is no proof: its ties are evidence.
    """
    taking = _Taking(model, twin, likely)
    return Inventory(tuple(taking.items()), taking.registered.parameters)


class _Taking:
    """One inventory while it is taken."""

    def __init__(self, model: torch.nn.Module, twin: torch.nn.Module | None, likely: torch.nn.Module | None) -> None:
        self.model, self.twin, self.likely = model, twin, likely
        self.registered = Registered()
        self.modules: list[tuple[str, torch.nn.Module]] = []
        self.classes: dict[type, None] = {}
        self.passing: list[tuple[str, torch.nn.Module]] = []
        self.known: set[int] = set()
        self.saves = self.loads = False
        self._storages: set[int] | None = None
        self._walk()

    def _walk(self) -> None:
        known, add = self.known, self.registered.add
        for path, module in modules_of(self.model):
            if id(module) in known:
                continue
            known.add(id(module))
            self.modules.append((path, module))
            prefix = f"{path}." if path else ""
            for name, tensor in module._parameters.items():
                if tensor is not None and id(tensor) not in known:
                    known.add(id(tensor))
                    add(prefix + name, tensor, module)
                    self.registered.parameters += 1
            for name, buffer in module._buffers.items():
                if buffer is None or id(buffer) in known:
                    continue
                known.add(id(buffer))
                if name in module._non_persistent_buffers_set:
                    self.passing.append((prefix + name, module))
                else:
                    add(prefix + name, buffer, module)
            if module._state_dict_hooks or module._state_dict_pre_hooks or module._load_state_dict_pre_hooks:
                self._own_code(own_hooks(module))
        self.classes.update((type(module), None) for _, module in self.modules)
        for cls in self.classes:
            self._own_code(own_code(cls))

    def _own_code(self, brought: tuple[bool, bool]) -> None:
        self.saves, self.loads = self.saves or brought[0], self.loads or brought[1]

    def items(self) -> Iterator[Item]:
        """Yields everything that was found, kind by kind."""
        yield from self._loose()
        yield from self._passing()
        yield from (item for item in wrong_tensors(self.registered) if not self._is_sentinel(item))
        flagged = {cls for cls in self.classes if flags_of(cls)}
        for path, module in self._of(flagged):
            yield from forgotten_flags(path, module)
        if self.twin is None:
            yield from self._unlike_a_fresh_one()
        yield from (item for item in overlaps(self.registered) if not self._shared_from_the_start(item))
        if self.saves or self.loads:
            missing = tuple(dropped(self.model, self.registered.tensors))
            yield from missing
            if self.loads:
                yield from ignored(self.model, self.registered.tensors)

    def _unlike_a_fresh_one(self) -> Iterator[Item]:
        for path, module in self._of({cls for cls in self.classes if makes_state_late(cls)}):
            yield from late_state(path, module)
        asked = [row for row in self.modules if row[1]._forward_pre_hooks or "parametrizations" in row[1]._modules]
        above = dict(self.modules) if asked else {}
        for path, module in asked:
            yield from parted(_chain(above, path), path, module)
        pairs: set[frozenset[str]] = set()
        for path, module in self._of({cls for cls in self.classes if ties_its_own(cls)}):
            found = list(untied(path, module))
            pairs.update(frozenset((item.path, item.partner)) for item in found)
            yield from found
        if self.likely is not None:
            more = untied_from(self.model, self.likely)
            yield from (item for item in more if frozenset((item.path, item.partner)) not in pairs)

    def _of(self, classes: set[type]) -> Iterator[tuple[str, torch.nn.Module]]:
        """Yields path and module of some classes."""
        if classes:
            yield from ((path, module) for path, module in self.modules if type(module) in classes)

    def _shared_from_the_start(self, item: Item) -> bool:
        """Whether the freshly built model has the two tensors of a pair in one memory as well."""
        if self.twin is None:
            return False
        held = dict((*self.twin.named_parameters(), *self.twin.named_buffers()))
        one, other = held.get(item.path), held.get(item.partner)
        return one is not None and other is not None and one.untyped_storage()._cdata == other.untyped_storage()._cdata

    def _is_sentinel(self, item: Item) -> bool:
        """Whether a buffer has no number in it because its constructor says so."""
        if item.kind != "nan" or item.class_name == "Parameter":
            return False
        module = self.registered.tensors[item.path][1]
        return origin_of(type(module), item.name).origin == "constructed"

    def _loose(self) -> Iterator[Item]:
        search = Search(self.known)
        for path, module in self.modules:
            together: dict[tuple[Any, ...], list[Item]] = {}
            for loose in search.of(path, module):
                if (item := self._judged(loose)) is not None:
                    alone = item.path if item.kind == "module" else ""
                    together.setdefault((item.kind, item.name, item.grade, item.evidence, alone), []).append(item)
            for items in together.values():
                yield replace(items[0], tensors=tuple(tensor for item in items for tensor in item.tensors))
        for path, module in self._of({cls for cls in self.classes if _draws(cls)}):
            yield from self._numbers(path, module)

    def _judged(self, loose: Loose) -> Item | None:
        import torch

        value = loose.value
        if isinstance(value, torch.nn.Module):
            return self._module(loose)
        if not isinstance(value, torch.Tensor):
            return self._by_origin(loose, "array", _array_info(loose.path, value), value.size)
        if self._is_registered(value) or value.grad_fn is not None:
            return None
        if is_of_library(loose.holder) and loose.name in effects_of(loose.holder).mentioned:
            return None  # torch's own layers keep their packed weights by ways of their own
        if value.requires_grad or isinstance(value, torch.nn.Parameter):
            why = "it is a Parameter" if isinstance(value, torch.nn.Parameter) else "it requires gradients"
            return _item("tensor", loose, (tensor_info(loose.path, value),), "lost", why)
        return self._by_origin(loose, "tensor", tensor_info(loose.path, value), value.numel())

    def _by_origin(self, loose: Loose, kind: Any, info: TensorInfo, size: int) -> Item | None:
        if not size or loose.name in hooked_names(loose.owner):
            return None
        judgement = _origin(loose)
        if loose.via != "object" and judgement.origin in ASKED:
            judgement = _asked(judgement, loose.owner, loose.within, loose.value)
        if judgement.origin in LOST:
            used = loose.via == "object" or loose.root in effects_of(type(loose.owner)).used
            return _item(kind, loose, (info,), "lost" if used else "doubtful", judgement.because)
        observed = judgement.origin == "outside" and (loose.owner._forward_hooks or loose.owner._forward_pre_hooks)
        if judgement.origin in DOUBTFUL and loose.via != "object" and not observed:
            return _item(kind, loose, (info,), "doubtful", judgement.because)
        return None

    def _module(self, loose: Loose) -> Item | None:
        """A module that nothing registers; nothing to tell where it holds no tensor, or only tensors that are registered."""
        held = list(self._tensors_within(loose.path, loose.value, 0))
        if not held:
            return None
        infos = tuple(tensor_info(key, tensor) for key, tensor in held)
        learned = any(tensor.requires_grad for _, tensor in held)
        why = "" if learned else "all of it is frozen, so it may come from elsewhere"
        return _item("module", loose, infos, "lost" if learned else "doubtful", why)

    def _tensors_within(self, path: str, module: torch.nn.Module, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
        import torch

        inside = [(at, inner) for at, inner in modules_of(module) if id(inner) not in self.known]
        for inner_path, inner in inside:
            self.known.add(id(inner))
            for name, tensor in tensors_of(inner):
                if name not in inner._non_persistent_buffers_set and not self._is_registered(tensor):
                    self.known.add(id(tensor))
                    yield ".".join(filter(None, (path, inner_path, name))), tensor
        search = Search(self.known)
        for inner_path, inner in inside if depth < DEEPEST else ():
            for loose in search.of(f"{path}.{inner_path}" if inner_path else path, inner):
                if isinstance(loose.value, torch.nn.Module):
                    yield from self._tensors_within(loose.path, loose.value, depth + 1)
                elif isinstance(loose.value, torch.Tensor) and loose.value.is_leaf and loose.value.requires_grad:
                    yield loose.path, loose.value

    def _is_registered(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is a registered one, or a view of its memory."""
        if id(tensor) in self.known:
            return True
        if self._storages is None:
            held = (tensor for tensor, _ in self.registered.tensors.values())
            passing = (module._buffers[key.rpartition(".")[2]] for key, module in self.passing)
            addresses = {storage_address(tensor) for tensor in (*held, *passing) if tensor is not None}
            self._storages = addresses - {0}
        return storage_address(tensor) in self._storages

    def _numbers(self, path: str, module: torch.nn.Module) -> Iterator[Item]:
        """Lists of numbers that the constructor draws."""
        for name, value in module.__dict__.items():
            if (
                name not in own_attributes()
                and is_numbers(value)
                and (because := origin_of(type(module), name)).origin == "random"
            ):
                at = f"{path}.{name}" if path else name
                dtype = "int64" if all(type(number) is int for number in value) else "float64"
                info = TensorInfo(at, dtype, (len(value),))
                yield Item("numbers", at, type(value).__name__, type(module).__name__, (info,), "lost", because.because, name)

    def _passing(self) -> Iterator[Item]:
        """Buffers that are not persistent and are not what a new module would compute."""
        for key, module in self.passing:
            name = key.rpartition(".")[2]
            buffer, cls = module._buffers[name], type(module)
            if buffer is None or is_of_library(cls) or not buffer.numel():
                continue
            judgement = origin_of(cls, name)
            if judgement.origin in LOST and compared(module, name, buffer) == "same":
                continue
            learned = buffer.requires_grad and buffer.is_leaf
            if learned or judgement.origin in LOST or judgement.origin == "later":
                grade: Grade = "doubtful" if judgement.origin == "later" and not learned else "lost"
                info = tensor_info(key, buffer, "buffer")
                because = "it requires gradients" if learned else judgement.because
                yield Item("buffer", key, type(buffer).__name__, cls.__name__, (info,), grade, because, name)


def _origin(loose: Loose) -> Judgement:
    """Where a loose value comes from: by the class that holds it, and for one within an object by the module's attribute, too."""
    judgement = origin_of(loose.holder, loose.name)
    if loose.via == "object" and judgement.origin not in LOST:
        return origin_of(type(loose.owner), loose.root)
    return judgement


def _asked(judgement: Judgement, module: torch.nn.Module, path: str, value: Any) -> Judgement:
    """A judgement by the source, put right by what new objects of the class hold."""
    outcome = compared(module, path, value)
    if outcome == "same":
        return Judgement("constructed")
    if outcome == "random":
        return Judgement("random", "two new objects have different values")
    return judgement


def _item(kind: Any, loose: Loose, infos: tuple[TensorInfo, ...], grade: Grade, why: str) -> Item:
    what, owner = type(loose.value).__name__, type(loose.owner).__name__
    return Item(kind, loose.path, what, owner, infos, grade, why, loose.root)


def _array_info(path: str, array: Any) -> TensorInfo:
    return TensorInfo(path, str(array.dtype), tuple(array.shape))


@per_class
def _draws(cls: type) -> bool:
    """Whether a class draws random numbers anywhere outside of its tensors; asked of its bytecode, before any source is read."""
    if is_of_library(cls):
        return False
    names = {name for listed in methods_of(cls).values() for method in listed for name in names_in(method.function)}
    return bool(names & (RANDOM_CALLS | RANDOM_MEMBERS))


def _chain(above: dict[str, torch.nn.Module], path: str) -> list[torch.nn.Module]:
    """The modules above a path, the root first."""
    names = path.split(".") if path else []
    prefixes = ("", *(".".join(names[: end + 1]) for end in range(len(names) - 1)))
    return [above[prefix] for prefix in prefixes if prefix in above]
