"""What counts as a difference, and what does not."""

from __future__ import annotations

from dataclasses import replace

from intact.comparison import compare
from intact.core.description import Description
from intact.core.tensor import TensorInfo

W = TensorInfo("w", "float32", (2, 3), source="w")


def _of(*tensors: TensorInfo, ties: tuple[tuple[str, ...], ...] = ()) -> Description:
    return Description({tensor.key: tensor for tensor in tensors}, ties)


def _marks(found: Description, expected: Description) -> list[tuple[str, str]]:
    return [difference.mark for difference in compare(found, expected)]


def test_equal_sides_have_no_difference() -> None:
    """The ordinary case must cost nothing and say nothing."""
    assert not compare(_of(W), _of(W))


def test_each_kind_is_named_once() -> None:
    """One key can disagree in one way only: shape before dtype."""
    other = replace(W, shape=(3, 2), dtype="float16")
    assert _marks(_of(W), _of(other)) == [("shape", "w")]
    assert _marks(_of(W), _of(replace(W, dtype="float16"))) == [("dtype", "w")]
    assert _marks(_of(W), _of(replace(W, key="v"))) == [("missing", "v"), ("unexpected", "w")]


def test_a_lazy_tensor_takes_any_shape() -> None:
    """A lazy layer has not decided its shape, so the file's is right."""
    assert not compare(_of(W), _of(replace(W, shape=(), lazy=True)))


def test_a_value_put_in_place_may_have_another_dtype() -> None:
    """A buffer that takes the file's dtype is no longer a difference."""
    assert not compare(_of(replace(W, placement="replace")), _of(replace(W, dtype="float16")))


def test_a_value_to_be_registered_is_not_unexpected() -> None:
    """It will be in the model once it is loaded."""
    assert not compare(_of(replace(W, placement="register")), _of())


def test_a_tie_that_the_file_does_not_show_is_a_difference_for_each_further_key() -> None:
    """Values are not looked at here; the rule asks whether both copies are equal."""
    a, b, c = W, replace(W, key="b"), replace(W, key="c")
    expected = _of(a, b, c, ties=(("w", "b", "c"),))
    assert _marks(_of(a, b, c), expected) == [("tie", "b"), ("tie", "c")]
    assert not compare(_of(a, b, c, ties=(("w", "b", "c"),)), expected)


def test_unexpected_keys_come_in_natural_order() -> None:
    """`layers.2` precedes `layers.10`, whatever the order of the file."""
    names = ["layers.10.w", "layers.9.w", "layers.2.w"]
    found = _of(*(replace(W, key=name) for name in names))
    assert [key for _, key in _marks(found, _of())] == ["layers.2.w", "layers.9.w", "layers.10.w"]
