"""Optimizers by the names of parameters: a live one described, its state taken by name, and state put into it by a pairing.

Torch matches the state of an optimizer by position alone. Names come from the models that are saved or loaded beside it: a
parameter is known by its identity, and may have several names where it is tied.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from intact.core.training import CLASS_FLAGS, IMPLEMENTATION, OptimizerGroup, OptimizerParameter, OptimizerState, Pairing, Slot
from intact.errors import ReadBackFailed
from intact.model.equality import holds
from intact.model.training_state import base_names, class_name, state_of_object, vocabulary_of

if TYPE_CHECKING:
    import torch


def names_of(modules: Mapping[str, torch.nn.Module]) -> dict[int, tuple[str, ...]]:
    """Returns the names of each parameter by its identity, the name of its model in front."""
    found: dict[int, tuple[str, ...]] = {}
    for owner, module in modules.items():
        for name, parameter in module.named_parameters(remove_duplicate=False):
            found[id(parameter)] = (*found.get(id(parameter), ()), f"{owner}.{name}")
    return found


def parameters_of(optimizer: Any) -> list[torch.Tensor]:
    """Returns the parameters of a live optimizer in the order in which its state dict numbers them."""
    listed = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return list({id(parameter): parameter for parameter in listed}.values())


def state_by_name(optimizer: Any, names: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
    """Returns the state dict of an optimizer with names of parameters in place of numbers (`#3` where there is none)."""
    state = state_of_object("optimizer", optimizer)
    if not _is_numbered(state):
        return dict(state)
    called = [names.get(id(parameter), (f"#{place}",))[0] for place, parameter in enumerate(parameters_of(optimizer))]

    def named(number: Any) -> Any:
        return called[number] if type(number) is int and 0 <= number < len(called) else number

    groups = [{**group, "params": [named(number) for number in group["params"]]} for group in state["param_groups"]]
    return {**state, "state": {named(number): slots for number, slots in state["state"].items()}, "param_groups": groups}


def _is_numbered(state: Any) -> bool:
    return isinstance(state, Mapping) and isinstance(state.get("state"), Mapping) and isinstance(state.get("param_groups"), list)


def described(optimizer: Any, names: Mapping[int, tuple[str, ...]]) -> OptimizerState:
    """Returns a live optimizer as a record."""
    listed = parameters_of(optimizer)
    place = {id(parameter): number for number, parameter in enumerate(listed)}
    held = getattr(optimizer, "state", {})
    parameters = tuple(
        OptimizerParameter(
            names.get(id(parameter), ("",))[0],
            tuple(parameter.shape),
            parameter.requires_grad,
            slots_of(held[parameter]) if parameter in held else {},
        )
        for parameter in listed
    )
    groups = tuple(
        OptimizerGroup(
            {name: option for name, value in group.items() if (option := plain_option(value)) is not None or value is None},
            tuple(place[id(parameter)] for parameter in group["params"]),
        )
        for group in optimizer.param_groups
    )
    inner = getattr(optimizer, "optimizer", None)
    classes: list[Any] = [type(one) for one in (optimizer, inner) if one is not None]
    words = frozenset[str]().union(*map(vocabulary_of, classes))
    return OptimizerState(
        class_name(optimizer),
        groups,
        parameters,
        words,
        frozenset(getattr(optimizer, "defaults", {})),
        bases=base_names(optimizer),
    )


def plain_option(value: Any) -> Any:
    """Returns a setting of a group as a plain value; None for what is none."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 and not value.is_meta else None
    if isinstance(value, list | tuple):
        items = [plain_option(member) for member in value]
        return None if None in items else tuple(items)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, bool | int | float | str) else None


def slots_of(slots: Any) -> dict[str, Slot]:
    """Returns what is kept for one parameter as records."""
    import torch

    found: dict[str, Slot] = {}
    for name, value in slots.items() if isinstance(slots, Mapping) else ():
        if isinstance(value, torch.Tensor):
            number = float(value) if value.numel() == 1 and not value.is_meta and not value.is_complex() else None
            found[str(name)] = Slot(str(value.dtype).removeprefix("torch."), tuple(value.shape), number)
        elif value is not None:
            found[str(name)] = Slot(number=float(value) if isinstance(value, int | float) else None)
    return found


def numbered(
    optimizer: Any, state: Mapping[str, Any], listed: Iterable[Any], pairing: Pairing, groups: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns state from a file as the live optimizer numbers its parameters.

    Args:
        optimizer: The live one.
        state: The file's, by whatever its parameters are called there.
        listed: What they are called, by position.
        pairing: Which is which.
        groups: Settings of each live group.
    """
    called = list(listed)
    own = state_of_object("optimizer", optimizer)
    kept = {
        here: state["state"][called[there]]
        for here, there in sorted(pairing.places.items())
        if here not in pairing.unfit and called[there] in state["state"]
    }
    others = {key: value for key, value in state["state"].items() if key not in set(called)}
    made = [
        {**own_group, **settings, "params": own_group["params"]}
        for own_group, settings in zip(own["param_groups"], groups, strict=True)
    ]
    rest = {key: value for key, value in state.items() if key not in ("state", "param_groups")}
    return {**rest, "state": copy.deepcopy({**kept, **others}), "param_groups": made}


def put(optimizer: Any, planned: Mapping[str, Any], exact: frozenset[int]) -> None:
    """Loads state into an optimizer; where torch casts it to the dtype of the parameter, the file's own dtype is put back.

    Args:
        optimizer: The live one.
        planned: From `numbered`.
        exact: Positions of parameters that have the dtype that they had when the state was saved.
    """
    import torch

    optimizer.load_state_dict({**planned})
    listed = parameters_of(optimizer)
    for place, slots in planned["state"].items():
        held: dict[str, Any] = optimizer.state.get(listed[place], {}) if place in exact else {}
        for name, value in slots.items() if isinstance(slots, Mapping) else ():
            now = held.get(name)
            if isinstance(value, torch.Tensor) and isinstance(now, torch.Tensor) and now.dtype != value.dtype and name != "step":
                held[name] = value.to(now.device).clone()


def read_back(name: str, optimizer: Any, planned: Mapping[str, Any]) -> None:
    """Raises where a live optimizer does not hold the planned state.

    Raises:
        ReadBackFailed: It does not.
    """
    held = state_of_object(name, optimizer)
    wrong = [
        f"{name}.{slot}[#{place}]"
        for place, slots in planned["state"].items()
        for slot, value in (slots.items() if isinstance(slots, Mapping) else ())
        if not same(held["state"].get(place, {}).get(slot), value)
    ]
    if wrong:
        raise ReadBackFailed(
            f"after loading, {wrong[0]} did not hold the planned value; everything was put back as it was",
            evidence={"keys": wrong},
            help="the optimizer's own loading code changes values; look at its `load_state_dict` and hooks",
        )


def same(held: Any, planned: Any) -> bool:
    """Tells whether a value is the planned one: tensors bit for bit, numbers also where one of them has become a tensor."""
    import torch

    if isinstance(planned, torch.Tensor) and isinstance(held, torch.Tensor):
        return holds(held, planned, held.dtype)
    if isinstance(held, torch.Tensor) and isinstance(planned, int | float):
        return held.numel() == 1 and float(held) == float(planned)
    if isinstance(planned, Mapping) and isinstance(held, Mapping):
        return planned.keys() == held.keys() and all(same(held[key], planned[key]) for key in planned)
    if isinstance(planned, list | tuple) and isinstance(held, list | tuple):
        return len(planned) == len(held) and all(same(a, b) for a, b in zip(held, planned, strict=True))
    return bool(type(held) is type(planned) and (held == planned or (held != held and planned != planned)))


def own_flags(name: str) -> bool:
    """Whether a setting stays as the live optimizer has it, because its class or this machine decides it."""
    return name in CLASS_FLAGS or name in IMPLEMENTATION


def strange_options(optimizer: Any, names: Iterable[str]) -> tuple[str, ...]:
    """Returns those settings of a file that an optimizer of torch does not have, and others of torch do."""
    import inspect

    import torch

    if not type(optimizer).__module__.startswith("torch.optim"):
        return ()
    classes = [cls for cls in vars(torch.optim).values() if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)]
    known = {name for cls in classes for name in inspect.signature(cls.__init__).parameters}
    return tuple(
        name for name in dict.fromkeys(names) if name in known and name not in optimizer.defaults and not own_flags(name)
    )
