"""Which tensors are parts of which: by what they are called, and never where another whole fits as well."""

from __future__ import annotations

import pytest

from intact.alignment.fusing import find_fusions
from intact.core.tensor import TensorInfo
from intact.repairs.split import Split


def tensors(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    keys = {key.replace("__", "."): shape for key, shape in shapes.items()}
    return {key: TensorInfo(key, "float32", shape) for key, shape in keys.items()}


def layers(names: list[str], shape: tuple[int, ...]) -> dict[str, TensorInfo]:
    keys = [f"h.{number}.{name}" for name in names for number in range(3)]
    return {key: TensorInfo(key, "float32", shape) for key in keys}


def test_stacks_of_one_shape_are_told_by_what_they_are_called() -> None:
    wholes = {f"h.{name}": TensorInfo(f"h.{name}", "float32", (3, 4)) for name in ("norm.weight", "key.weight", "norm.bias")}
    parts = layers(["key.weight", "norm.bias", "norm.weight"], (4,))
    made = {fusion.whole: fusion.parts for fusion in find_fusions(wholes, parts)}
    assert made == {
        f"h.{name}": tuple((f"h.{n}.{name}",) for n in range(3)) for name in ("norm.weight", "key.weight", "norm.bias")
    }


def test_names_that_tell_nothing_are_left_alone_where_two_wholes_fit() -> None:
    wholes = tensors(h__one=(3, 4), h__two=(3, 4))
    assert find_fusions(wholes, layers(["a.weight", "b.weight"], (4,))) == []


def test_parts_that_fit_in_two_ways_are_left_alone() -> None:
    assert find_fusions(tensors(h__one=(3, 4)), layers(["a.weight", "b.weight"], (4,))) == []


def test_one_whole_and_one_group_that_fits_belong_together() -> None:
    (fusion,) = find_fusions(tensors(h__one=(3, 4)), layers(["a.weight"], (4,)))
    assert (fusion.stacked, fusion.ordered) == (True, "one")


def test_a_stack_far_above_its_parts_is_found() -> None:
    wholes = tensors(enc__a__b__c__d__weight=(2, 4))
    parts = {f"enc.{n}.a.b.c.d.weight": TensorInfo(f"enc.{n}.a.b.c.d.weight", "float32", (4,)) for n in range(2)}
    (fusion,) = find_fusions(wholes, parts)
    assert fusion.parts == (("enc.0.a.b.c.d.weight",), ("enc.1.a.b.c.d.weight",))


def test_a_stack_of_wholes_is_taken_apart_in_one_step() -> None:
    torch = pytest.importorskip("torch")
    value = torch.arange(24).reshape(2, 4, 3)
    parts = (("a.0.q", (2, 3)), ("a.0.k", (1, 3)), ("a.0.v", (1, 3)), ("a.1.q", (2, 3)), ("a.1.k", (1, 3)), ("a.1.v", (1, 3)))
    made = Split((("a.qkv", parts),)).perform({"a.qkv": value}, {})
    assert torch.equal(made["a.1.k"], value[1, 2:3])
    assert torch.equal(torch.cat([made["a.0.q"], made["a.0.k"], made["a.0.v"]]), value[0])
