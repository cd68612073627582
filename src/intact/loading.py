"""Planned values into a live model, all or nothing, and read back.

The model's own `load_state_dict` does the copying, because its hooks may matter; the guarantee is ours. Everything that can be
refused is refused before anything is touched; then the model is kept as it is, loaded, and every value is compared, bit for bit,
with what was planned. Whatever goes wrong in between, an interruption by the user included, the model is put back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from intact.core.description import Description
from intact.core.keys import leaf_of, owner_of
from intact.core.tensor import Placement
from intact.core.wording import shape_text, some
from intact.errors import IntactError, LoadRefused, ReadBackFailed
from intact.model.entries import entries_in, is_extra_state, rebuilt, tensors_in
from intact.model.equality import holds
from intact.model.expectation import tensor_info
from intact.model.snapshot import Snapshot
from intact.model.state import (
    accepts,
    memory_of,
    modules_of,
    random_state_kept,
    short,
    state_of,
    storage_address,
    tensors_of,
    ties_of,
)

if TYPE_CHECKING:
    import torch

    Owners = dict[int, list[tuple[torch.nn.Module, str]]]


def load_planned(model: torch.nn.Module, values: Mapping[str, torch.Tensor], final: Description) -> None:
    """Puts planned values into a model, all or nothing, and reads them back.

    Args:
        model: On any device; on the meta device it gets memory on the CPU. Training mode and what requires a gradient stay.
        values: Key of the model to tensor on the CPU; views of a mapped file are copied, never kept. An entry that is no tensor
            (extra state) may be given whole; the tensors of one that is not given go by their path within it.
        final: The description that the plan arrives at; `placement` says how each value reaches the model.

    Raises:
        LoadRefused: The values do not fit the model, or its own loading code raised; it is bit for bit as before.
        ReadBackFailed: The model did not hold the planned values afterwards; it was put back.
    """
    state, entries = state_of(model), entries_in(values)
    tensors = {**tensors_in(entries), **{key: value for key, value in values.items() if key not in entries}}
    placements = {key: final.tensors[key].placement if key in final.tensors else "copy" for key in tensors}
    _refuse_unfit(model, state, tensors, entries, placements)
    goal = _goal(state, tensors, placements)
    with random_state_kept():
        snapshot = Snapshot(model, state)
        try:
            _put(model, state, tensors, entries, placements)
            _read_back(model, tensors, goal)
        except BaseException as error:
            snapshot.restore()
            if isinstance(error, Exception) and not isinstance(error, IntactError):
                raise _refused_by_the_model(error) from error
            raise


@dataclass(frozen=True, slots=True)
class _Goal:
    """What must be true of the model's state dict afterwards, taken before anything is touched.

    Attributes:
        dtypes: The dtype that each key has to have.
        ties: Keys that are one tensor, and have to stay one.
    """

    dtypes: Mapping[str, torch.dtype]
    ties: tuple[tuple[str, ...], ...]


def _refused_by_the_model(error: Exception) -> LoadRefused:
    return LoadRefused(
        f"the model's own loading code raises {type(error).__name__}: {short(str(error))}",
        help="nothing was changed; correct `load_state_dict` or the hooks of the model",
    )


def _refuse_unfit(
    model: torch.nn.Module,
    state: Mapping[str, Any],
    values: Mapping[str, torch.Tensor],
    entries: Mapping[str, Any],
    placements: Mapping[str, Placement],
) -> None:
    """Raises, while nothing has been touched, for what cannot be loaded."""
    held = tensors_in(state)
    problems = list(_problems(held, values, placements, dict(modules_of(model)), _owners(model)))
    problems += [f"the model has no entry `{key}`" for key in entries if key not in state]
    left = [key for key in held if key not in values and not is_extra_state(key)]
    if left:
        problems.append(f"there is no value for {some(left)}")
    if problems:
        more = f" (and {len(problems) - 3:,} more)" if len(problems) > 3 else ""
        raise LoadRefused("; ".join(problems[:3]) + more, help="nothing was changed", evidence={"problems": problems[:100]})


def _problems(
    state: Mapping[str, torch.Tensor],
    values: Mapping[str, torch.Tensor],
    placements: Mapping[str, Placement],
    modules: Mapping[str, torch.nn.Module],
    owners: Owners,
) -> Iterator[str]:
    for key, value in values.items():
        held = state.get(key)
        if is_extra_state(key):
            continue
        if held is None and placements[key] == "register":
            yield from _unregistrable(key, modules.get(owner_of(key)))
        elif held is None:
            yield f"the model has no tensor `{key}`"
        elif placements[key] != "copy" and id(held) not in owners:
            yield f"no module of the model owns `{key}`, so that it cannot be replaced"
        else:
            yield from _misfit(key, held, value)


def _unregistrable(key: str, module: torch.nn.Module | None) -> Iterator[str]:
    name = leaf_of(key)
    if module is None:
        yield f"the model has no module `{owner_of(key)}` to register `{name}` with"
    elif hasattr(type(module), name) or name in (*module._modules, *module._parameters) or module.__dict__.get(name) is not None:
        yield f"`{key}` cannot be registered: `{type(module).__name__}.{name}` is something else"


def _misfit(key: str, held: torch.Tensor, value: torch.Tensor) -> Iterator[str]:
    wanted, given = tensor_info(key, held), tensor_info(key, value)
    if not wanted.lazy and (wanted.shape, wanted.layout) != (given.shape, given.layout):
        yield f"`{key}` is {given.layout} {shape_text(given.shape)}, and the model has {wanted.layout} {shape_text(wanted.shape)}"


def _owners(model: torch.nn.Module) -> Owners:
    """The modules that register a tensor, and under which name, by the tensor's identity."""
    owners: Owners = {}
    for module in {id(module): module for _, module in modules_of(model)}.values():
        for name, tensor in tensors_of(module):
            owners.setdefault(id(tensor), []).append((module, name))
    return owners


def _put(
    model: torch.nn.Module,
    state: Mapping[str, Any],
    values: Mapping[str, torch.Tensor],
    entries: Mapping[str, Any],
    placements: Mapping[str, Placement],
) -> None:
    before = _storages(_registered(model))
    _materialize({key: state[key] for key in values if _is_tensor(state.get(key))}, values, _owners(model))
    state, owners, modules = state_of(model), _owners(model), dict(modules_of(model))
    memory: dict[object, torch.Tensor] = {}
    for key, value in values.items():
        if placements[key] == "register" and key not in state:
            _register(modules[owner_of(key)], leaf_of(key), value, _device_of(model))
        elif placements[key] != "copy":
            _replace(state[key], value, owners, memory)
    _load(model, state, values, entries)
    _own_memory(model, _storages(values.values()) - before)


def _materialize(held: Mapping[str, torch.Tensor], values: Mapping[str, Any], owners: Owners) -> None:
    """Gives tensors on the meta device memory on the CPU; tied ones stay one."""
    import torch

    made: dict[object, torch.Tensor] = {}
    for key, tensor in {id(tensor): (key, tensor) for key, tensor in held.items() if tensor.is_meta}.values():
        lazy = torch.nn.parameter.is_lazy(tensor)
        blank = torch.empty(values[key].shape, dtype=tensor.dtype) if lazy else torch.empty_like(tensor, device="cpu")
        real = made.setdefault(memory_of(tensor), blank.detach())
        if isinstance(tensor, torch.nn.Parameter):
            real = torch.nn.Parameter(real, requires_grad=tensor.requires_grad)
            real.__dict__.update({} if lazy else tensor.__dict__)
        for module, name in owners.get(id(tensor), ()):
            setattr(module, name, real)


def _register(module: torch.nn.Module, name: str, value: torch.Tensor, device: torch.device) -> None:
    if name in module._buffers:
        module._buffers[name] = _copied(value, device)
        module._non_persistent_buffers_set.discard(name)
        return
    module.__dict__.pop(name, None)  # an attribute that is None until the buffer exists
    module.register_buffer(name, _copied(value, device))


def _replace(tensor: torch.Tensor, value: torch.Tensor, owners: Owners, memory: dict[object, torch.Tensor]) -> None:
    """Puts a copy of a value in place of a tensor with the value's dtype; a parameter stays the same object."""
    import torch

    place = memory_of(tensor)
    if place not in memory:
        memory[place] = _copied(value, tensor.device)
    new = memory[place]
    if isinstance(tensor, torch.nn.Parameter):
        tensor.data = new
        return
    for module, name in owners.get(id(tensor), ()):
        module._buffers[name] = new


def _copied(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    return value.detach().to(device).clone()


def _device_of(model: torch.nn.Module) -> torch.device:
    import torch

    devices = (tensor.device for tensor in _registered(model) if not tensor.is_meta)
    return next(devices, torch.device("cpu"))


def _load(
    model: torch.nn.Module, state: Mapping[str, Any], values: Mapping[str, torch.Tensor], entries: Mapping[str, Any]
) -> None:
    """Lets the model load itself; keys and versions are those of the model, so that no migration of old formats starts."""
    kept = {key: value for key, value in entries_in(state).items() if key not in entries}
    within = set(tensors_in({**kept, **entries})) - set(state)
    values = {key: value.clone() if key in within or is_extra_state(key) else value for key, value in values.items()}
    made = {key: rebuilt(key, value, values) for key, value in {**kept, **entries}.items()}
    own = {key: value for key, value in made.items() if value is not kept.get(key, made) or not is_extra_state(key)}
    given: OrderedDict[str, Any] = OrderedDict({**own, **{key: value for key, value in values.items() if key not in within}})
    if hasattr(state, "_metadata"):
        object.__setattr__(given, "_metadata", state._metadata)
    import torch

    result = model.load_state_dict(given, **({"strict": False} if accepts(model.load_state_dict, "strict") else {}))
    left_out = {key: given[key] for key in getattr(result, "missing_keys", ()) if key in given}
    if left_out and type(model).load_state_dict is not torch.nn.Module.load_state_dict:
        # The class dropped keys that it was given, as code for other files does; torch's own loading takes them.
        torch.nn.Module.load_state_dict(model, left_out, strict=False)


def _own_memory(model: torch.nn.Module, foreign: set[int]) -> None:
    """Copies what the model's loading code took over instead of copying: the file may be gone tomorrow."""
    copies: dict[object, torch.Tensor] = {}
    for tensor in list(_registered(model)):
        if foreign & _storages((tensor,)):
            place = memory_of(tensor)
            if place not in copies:
                copies[place] = tensor.detach().clone()
            tensor.data = copies[place]


def _registered(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    for _, module in modules_of(model):
        yield from (tensor for _, tensor in tensors_of(module))


def _storages(tensors: Iterable[Any]) -> set[int]:
    """Addresses of the memory behind tensors."""
    return {address for tensor in tensors if _is_tensor(tensor) and (address := storage_address(tensor))}


def _goal(state: Mapping[str, Any], values: Mapping[str, torch.Tensor], placements: Mapping[str, Placement]) -> _Goal:
    held = {key: tensor for key, tensor in tensors_in(state).items() if key in values}
    own = {key for key in held if placements[key] == "copy" and not is_extra_state(key)}
    dtypes = {key: held[key].dtype if key in own else value.dtype for key, value in values.items()}
    return _Goal(dtypes, ties_of(held))


def _read_back(model: torch.nn.Module, values: Mapping[str, torch.Tensor], goal: _Goal) -> None:
    """Raises where the model does not hold just what was planned, or where tied keys are tied no more."""
    after = tensors_in(state_of(model))
    wrong = [key for key, dtype in goal.dtypes.items() if not holds(after.get(key), values[key], dtype)]
    if wrong:
        raise ReadBackFailed(
            f"after loading, {some(wrong)} did not hold the planned values; the model was put back as it was",
            evidence={"keys": wrong},
            help="the model's own loading code changes values; load with `load_state_dict` and look at its hooks",
        )
    loose = [group for group in goal.ties if len({memory_of(after[key]) for key in group}) > 1]
    if loose:
        raise ReadBackFailed(
            f"after loading, {some(loose[0])} were one tensor no more; the model was put back as it was",
            evidence={"keys": [key for group in loose for key in group]},
        )


def _is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    import torch

    return isinstance(value, torch.Tensor)
