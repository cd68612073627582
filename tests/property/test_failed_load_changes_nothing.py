"""Law: a load that fails, wherever and however it fails, leaves the model bit for bit as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intact.core.description import Description
from intact.core.tensor import TensorInfo
from intact.errors import IntactError
from intact.loading import load_planned

WAYS = ["raises", "interrupted", "changes", "loses", "replaces", "casts", "renames attributes"]


class Failing(nn.Module):
    """Goes wrong in a chosen way after it was loaded; what stands before it in the model is loaded by then."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.register_buffer("count", torch.tensor([1.0, float("nan"), -0.0]))
        self.way, self.seen = way, [1]
        self.table: dict[str, int] = {"a": 1}

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        torch.rand(3)
        self.seen.append(2)
        self.table["b"] = 2
        self.train(not self.training)
        if self.way == "raises":
            raise ValueError("boom")
        if self.way == "interrupted":
            raise KeyboardInterrupt
        if self.way == "changes":
            self.weight.data.add_(1)
        if self.way == "loses":
            del self.count
        if self.way == "replaces":
            self.weight = nn.Parameter(torch.zeros(3), requires_grad=False)
        if self.way == "casts":
            self.weight.data = self.weight.data.double()
        if self.way == "renames attributes":
            self.other = self._parameters.pop("weight")


class Caching(nn.Module):
    """Lets a buffer be registered, and has one that can be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = None
        self.register_buffer("ids", torch.arange(4.0).half())


def build(way: str, layers: list[int], position: int) -> nn.Module:
    """Returns a model of lazy, tied, recurrent and ordinary layers, with the failing one among them."""
    kinds: list[Callable[[], nn.Module]] = [
        lambda: nn.Linear(2, 2),
        lambda: nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()),
        lambda: nn.LSTM(2, 2),
        lambda: nn.BatchNorm1d(3),
        lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        lambda: nn.Linear(2, 2, device="meta"),
    ]
    modules = [kinds[number]() for number in layers]
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    modules.insert(min(position, len(modules)), Failing(way))
    return nn.Sequential(*modules, tied, Caching())


def picture(model: nn.Module) -> dict[str, Any]:
    """Returns all there is to a model: bits, identities, classes, attributes."""
    return {
        "random": torch.get_rng_state().tolist(),
        "tensors": {name: _tensor(tensor) for name, tensor in _tensors(model)},
        "modules": [(id(module), type(module), _attributes(module)) for module in model.modules()],
    }


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _tensor(tensor: torch.Tensor) -> tuple[Any, ...]:
    known = (id(tensor), type(tensor), tensor.requires_grad, tensor.dtype, tensor.device)
    if torch.nn.parameter.is_lazy(tensor):
        return known
    bits = [] if tensor.is_meta else tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()
    return (*known, tensor.shape, tensor.data_ptr(), bits)


def _attributes(module: nn.Module) -> dict[str, Any]:
    plain = {name: copy.copy(value) for name, value in vars(module).items() if type(value) in (bool, int, str, list)}
    hooks = {name: list(value) for name, value in vars(module).items() if isinstance(value, dict)}
    return {**{name: repr(value) for name, value in plain.items()}, **hooks, "names": list(vars(module))}


def planned(model: nn.Module) -> tuple[dict[str, torch.Tensor], Description]:
    """Returns values for every key, of other bits than the model has, one to be replaced and one to be registered."""
    values = {}
    for key, tensor in model.state_dict(keep_vars=True).items():
        lazy = torch.nn.parameter.is_lazy(tensor)
        shape = ((3, 2) if key.endswith("0.weight") else (3,)) if lazy else tensor.shape
        values[key] = torch.full(shape, 3, dtype=tensor.dtype)
    last = len(list(model.children())) - 1
    values |= {f"{last}.cache": torch.ones(2), f"{last}.ids": torch.arange(4)}
    places: dict[str, Any] = {f"{last}.cache": "register", f"{last}.ids": "replace"}
    rows = {
        key: TensorInfo(key, str(value.dtype).removeprefix("torch."), tuple(value.shape), placement=places.get(key, "copy"))
        for key, value in values.items()
    }
    return values, Description(rows)


@settings(max_examples=60, deadline=None)
@given(way=st.sampled_from(WAYS), layers=st.lists(st.integers(0, 5), max_size=4), position=st.integers(0, 4))
def test_a_failed_load_changes_nothing(way: str, layers: list[int], position: int) -> None:
    """The model may be the only copy of a week of training."""
    model = build(way, layers, position)
    values, final = planned(model)
    before = picture(model)
    with pytest.raises((IntactError, KeyboardInterrupt)):
        load_planned(model, values, final)
    assert picture(model) == before


@pytest.mark.parametrize("layers", [[], [0, 1, 2, 3, 4, 5]])
def test_the_same_load_goes_through_where_nothing_fails(layers: list[int]) -> None:
    """The law would hold of a loader that never loads."""
    model = build("works", layers, 0)
    values, final = planned(model)
    load_planned(model, values, final)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in values.items())


@settings(max_examples=25, deadline=None)
@given(step=st.integers(0, 400))
def test_an_interruption_at_any_moment_changes_nothing_or_everything(step: int) -> None:
    """Ctrl-C comes between any two lines: before the load, in it, or in the read-back."""
    model = build("works", [0, 1, 2, 3], 1)
    values, final = planned(model)
    before, left = picture(model), [step]
    with suppress(KeyboardInterrupt), _interrupting(left):
        load_planned(model, values, final)
    after = picture(model)
    if left[0] < 0:
        assert after == before
    else:
        assert all(torch.equal(model.state_dict()[key], value) for key, value in values.items())


class _interrupting(torch.overrides.TorchFunctionMode):  # noqa: N801 - used as a context, like a function
    """Raises at the n-th operation on tensors, once."""

    def __init__(self, left: list[int]) -> None:
        super().__init__()
        self.left = left

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left[0] -= 1
        if self.left[0] == -1:
            raise KeyboardInterrupt
        return func(*args, **(kwargs or {}))
