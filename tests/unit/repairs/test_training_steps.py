"""Steps of training state: what they predict is what they do, and others' keys stay."""

from __future__ import annotations

import pytest

from intact.core.description import Description
from intact.core.plan import Step
from intact.core.tensor import TensorInfo
from intact.repairs import step_from_dict
from intact.repairs.by_name import ByName
from intact.repairs.drop import Drop
from intact.repairs.in_part import InPart
from intact.repairs.rename import Rename

KEYS = ["G.module.w", "G.extra", "D.module.w", "opt.state.0.m", "opt.state.1.m"]
FOUND = Description(
    tensors={key: TensorInfo(key, "float32", (number,), source=key) for number, key in enumerate(KEYS, 1)},
    ties=(("G.module.w", "G.extra"),),
)

STEPS: list[tuple[Step, list[str]]] = [
    (InPart("G", Rename((("module.w", "w"),))), ["D.module.w", "G.extra", "G.w", "opt.state.0.m", "opt.state.1.m"]),
    (InPart("G", Drop(("extra",))), ["D.module.w", "G.module.w", "opt.state.0.m", "opt.state.1.m"]),
    (ByName("opt", (("opt.state.0.m", "opt.state.1.m"), ("opt.state.1.m", "opt.state.0.m")), ("a", "b")), sorted(KEYS)),
    (ByName("opt", (("opt.state.7.m", "opt.state.0.m"),), dropped=("a",)), sorted(KEYS)),
]


@pytest.mark.parametrize(("step", "keys"), STEPS)
def test_a_step_does_what_it_predicts(step: Step, keys: list[str]) -> None:
    """Plans are made on descriptions alone."""
    after = step.predict(FOUND)
    values = step.perform({key: tensor.shape for key, tensor in FOUND.tensors.items()}, {})
    assert sorted(after.tensors) == keys
    assert {key: tensor.shape for key, tensor in after.tensors.items()} == values
    assert all(tensor.key == key for key, tensor in after.tensors.items())
    assert all(set(group) <= set(keys) for group in after.ties)


@pytest.mark.parametrize("step", [step for step, _ in STEPS])
def test_a_step_is_read_back_from_plain_data(step: Step) -> None:
    """A plan is written down, agreed to, and carried out later."""
    assert step_from_dict(step.to_dict()) == step


def test_what_is_dropped_is_lost() -> None:
    """It waits for the user's word."""
    assert [step.lossless for step, _ in STEPS] == [True, False, True, False]
