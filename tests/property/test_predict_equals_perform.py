"""Law: describing what `perform` returned equals what `predict` said, for every kind of step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tests.property.models import described

from intact.core.description import Description
from intact.core.plan import Plan, Step
from intact.repairs import STEPS, plan_from_dict, step_from_dict
from intact.repairs.by_name import ByName
from intact.repairs.cast import Cast
from intact.repairs.dequantize import Dequantize
from intact.repairs.drop import Drop
from intact.repairs.fill import Fill
from intact.repairs.in_part import InPart
from intact.repairs.keep import Keep
from intact.repairs.mask import Mask
from intact.repairs.merge import Merge
from intact.repairs.merge_adapter import Adapter, MergeAdapter, fits
from intact.repairs.place import Place
from intact.repairs.rename import Rename
from intact.repairs.reshape import Reshape
from intact.repairs.resize import Resize
from intact.repairs.rewrite import Rewrite
from intact.repairs.sequence import Sequence
from intact.repairs.split import Split
from intact.repairs.tie import Tie
from intact.repairs.transpose import Transpose
from intact.repairs.unnest import Unnest
from intact.repairs.versions import Versions

_KEYS = ["a.w", "a.b", "b.w", "net.a.w", "net.b.w", "net[0].x", "ids"]
_DTYPES = ["float32", "float16", "int64", "bool"]
_SHAPES = st.lists(st.integers(0, 4), min_size=2, max_size=2).map(tuple)


@st.composite
def values(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Tensors under some of the keys, some of them one object under two keys."""
    keys = draw(st.lists(st.sampled_from(_KEYS), min_size=1, unique=True))
    state = {k: torch.ones(draw(_SHAPES), dtype=getattr(torch, draw(st.sampled_from(_DTYPES)))) for k in keys}
    if len(keys) > 1 and draw(st.booleans()):
        state[keys[1]] = state[keys[0]]
    return state


def _halves(key: str, value: torch.Tensor) -> tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]:
    """A split of one tensor into its first element, or the parts of that, and the rest."""
    first, *rest = value.shape
    if first and rest and rest[0] > 1:  # the first element in two parts
        half, inner = rest[0] // 2, tuple(rest[1:])
        one = ((f"{key}.low", (half, *inner)), (f"{key}.high", (rest[0] - half, *inner)))
        return key, (*one, (f"{key}.rest", (first - 1, *rest)))
    return key, ((f"{key}.first", tuple(rest)), (f"{key}.rest", (first - 1, *rest))) if first else ()


@st.composite
def steps(draw: st.DrawFn, state: dict[str, torch.Tensor]) -> Step:
    """A step of any kind that can be done to these values."""
    keys = list(state)
    some = tuple(draw(st.lists(st.sampled_from(keys), min_size=1, unique=True)))
    dtype, shape = draw(st.sampled_from(_DTYPES)), draw(_SHAPES)
    kind = draw(st.sampled_from(sorted(STEPS)))
    options: dict[str, Step] = {
        "unnest": Unnest(draw(st.sampled_from(["", "net", "net[0]", "a"])), some),
        "rename": Rename(tuple((key, f"new.{key}") for key in some), tuple(k for k in keys if k not in some)[:1]),
        "transpose": Transpose(tuple(key for key in some if state[key].dim() == 2), lossless=False),
        "reshape": Reshape(tuple((key, (*state[key].shape, 1)) for key in some)),
        "merge": Merge(((f"{keys[0]}2", ("stack", (keys[0],))),), lossless=False),
        "split": Split(tuple(_halves(key, state[key]) for key in some[:1] if state[key].dim())),
        "tie": Tie(tuple((key, keys[0]) for key in some if key != keys[0]) or ((f"{keys[0]}2", keys[0]),), lossless=False),
        "cast": Cast(tuple((key, dtype) for key in some), lossless=False),
        "place": Place(some, "replace"),
        "fill": Fill((("counter", "int64", ()), ("zeros", dtype, shape))),
        "keep": Keep(tuple((key, dtype, shape) for key in some)),
        "resize": Resize(tuple((key, shape) for key in some)),
        "dequantize": Dequantize(tuple((key, keys[0], "rows", "float32") for key in some if _has_rows(state, key, keys[0]))),
        "merge-adapter": MergeAdapter(tuple(_adapters(state))),
        "sequence": Sequence((Rename(((keys[0], "first"),)), Fill((("counter", "int64", ()),))), lossless=True),
        "mask": Mask(tuple(_masked(state))),
        "versions": Versions(()),
        "drop": Drop(some),
        "rewrite": Rewrite("torch-tar"),
        "by-name": ByName("optimizer", tuple((key, f"moved.{key}") for key in some), some, draw(st.sampled_from([(), some]))),
        "in-part": InPart(keys[0].partition(".")[0], Drop(tuple(key.partition(".")[2] for key in some))),
    }
    return options[kind]


def _masked(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, str, str]]:
    """Two tensors of one shape, as the unpruned values and the mask of a weight."""
    for whole, mask in permutations(state, 2):
        if state[whole].shape == state[mask].shape and state[whole] is not state[mask]:
            yield "pruned", whole, mask
            return


def _adapters(state: dict[str, torch.Tensor]) -> Iterator[Adapter]:
    """A weight, and two others that are the matrices of an adapter for it."""
    for weight, down, up in permutations(state, 3):
        apart = len({id(state[key]) for key in (weight, down, up)}) == 3
        if apart and fits(state[weight].shape, state[down].shape, state[up].shape, transposed=False):
            yield Adapter(weight, down, up, 0.5)
            return


def _has_rows(state: dict[str, torch.Tensor], key: str, scales: str) -> bool:
    """Whether one tensor can be the scales of another's rows."""
    return key != scales and state[key].dim() > 0 and state[scales].shape == state[key].shape[:1]


def _target(state: dict[str, torch.Tensor], step: Step) -> dict[str, torch.Tensor]:
    """What the model holds: of the shapes and dtypes that the step asks for."""
    held = dict(state)
    if isinstance(step, Keep):
        held |= {key: torch.zeros(shape, dtype=getattr(torch, dtype)) for key, dtype, shape in step.tensors}
    if isinstance(step, Resize):
        held |= {key: torch.zeros(shape) for key, shape in step.shapes}
    return held


def _facts(description: Description) -> Any:
    rows = {key: (tensor.dtype, tensor.shape) for key, tensor in description.tensors.items()}
    return rows, {frozenset(group) for group in description.ties}


@given(st.data())
def test_every_step_does_what_it_predicts(data: st.DataObject) -> None:
    """Plans are made on descriptions alone, so a step that did anything else would load other values than were promised."""
    state = data.draw(values())
    step = data.draw(steps(state))
    before = {key: value.clone() for key, value in state.items()}
    after = step.perform(state, _target(state, step))
    assert _facts(described(after)) == _facts(step.predict(described(state)))
    assert list(state) == list(before)
    assert all(torch.equal(state[key], before[key]) for key in before), "perform changed what it was given"


@given(st.data())
def test_every_step_survives_json(data: st.DataObject) -> None:
    """A plan may be reviewed as a file and come back; it must be the same plan."""
    state = data.draw(values())
    plan = Plan(tuple(("arch/missing-key", step) for step in data.draw(st.lists(steps(state), max_size=3))))
    assert plan_from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize("kind", sorted(STEPS))
def test_every_kind_refuses_fields_of_another_type(kind: str) -> None:
    """A plan edited by hand must be refused by name, never half understood."""
    from intact import IntactError

    with pytest.raises(IntactError, match=kind):
        step_from_dict({"kind": kind, "lossless": True, "at": 3})
