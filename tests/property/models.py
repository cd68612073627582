"""Small random models, and the ways in which people's files of them come to differ, for the laws in this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import torch
from torch import nn

from intact.core.description import Description
from intact.core.tensor import TensorInfo

State = dict[str, Any]

_NAMES = st.sampled_from(["stem", "encoder", "body", "blocks", "head", "fc", "proj", "norm_1", "to_q", "0x"])
_WIDTHS = st.integers(1, 5)


@st.composite
def leaves(draw: st.DrawFn) -> nn.Module:
    """One layer with tensors: linear, convolution, embedding or normalisation."""
    a, b = draw(_WIDTHS), draw(_WIDTHS)
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return nn.Linear(a, b, bias=draw(st.booleans()))
    if kind == 1:
        return nn.Conv1d(a, b, draw(st.integers(1, 3)))
    if kind == 2:
        return nn.Embedding(a, b)
    return nn.BatchNorm1d(a) if kind == 3 else nn.LayerNorm(a)


@st.composite
def modules(draw: st.DrawFn, depth: int = 2) -> nn.Module:
    """A nested module with at least one tensor, with numbered and with named children."""
    if depth == 0:
        return draw(leaves())
    children = draw(st.lists(st.one_of(leaves(), modules(depth=depth - 1)), min_size=1, max_size=3))
    if draw(st.booleans()):
        return nn.Sequential(*children)
    names = draw(st.lists(_NAMES, min_size=len(children), max_size=len(children), unique=True))
    return nn.ModuleDict(dict(zip(names, children, strict=True)))


def filled(model: nn.Module) -> nn.Module:
    """Gives every tensor values of its own that every dtype in use holds exactly."""
    with torch.no_grad():
        for number, tensor in enumerate(model.state_dict().values()):
            tensor.copy_(((torch.arange(tensor.numel()) + number) % 64).reshape(tensor.shape))
    return model


@dataclass(frozen=True)
class Spoil:
    """One thing that people do to a state dict before it is saved, undone without loss."""

    name: str
    apply: Callable[[State], State]


def _wrapped(token: str) -> Spoil:
    return Spoil(f"prefix {token}", lambda state: {f"{token}.{key}": value for key, value in state.items()})


def _nested(place: str) -> Spoil:
    return Spoil(f"under {place}", lambda state: {"epoch": 3, place: state, "lr": 0.1})


HALF = Spoil("half", lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()})
WRAPPED = st.sampled_from(["module", "_orig_mod", "model", "net_g", "some.thing.unheard_of"]).map(_wrapped)
NESTED = st.sampled_from(["state_dict", "model", "weights", "generator"]).map(_nested)


@st.composite
def spoils(draw: st.DrawFn) -> tuple[Spoil, ...]:
    """What was done to a file, in order: wrapped, cast, nested, each or not."""
    wrapped = draw(st.lists(WRAPPED, max_size=2, unique_by=lambda spoil: spoil.name))
    return (*wrapped, *draw(st.lists(st.just(HALF), max_size=1)), *draw(st.lists(NESTED, max_size=1)))


def spoiled(state: Mapping[str, Any], done: tuple[Spoil, ...]) -> State:
    """Returns the state after all that was done to it."""
    result = dict(state)
    for spoil in done:
        result = spoil.apply(result)
    return result


def described(values: Mapping[str, torch.Tensor]) -> Description:
    """Describes values as they are, by an own reading of them that shares no code with the package."""
    tensors = {k: TensorInfo(k, str(v.dtype).removeprefix("torch."), tuple(v.shape)) for k, v in values.items()}
    groups: dict[int, list[str]] = {}
    for key, value in values.items():
        groups.setdefault(id(value), []).append(key)
    return Description(tensors, tuple(tuple(group) for group in groups.values() if len(group) > 1))
