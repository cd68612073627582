"""Grouping of keys: what is put together, what is kept apart, and how it reads."""

from __future__ import annotations

import pytest
from tests.counting import growth

from intact.core.grouping import group_keys, index_text


def patterns(keys: list[str], *, leaves: bool = False) -> list[str]:
    """Returns the texts of the groups."""
    return [group.pattern for group in group_keys(keys, leaves=leaves)]


def test_a_numbered_family_becomes_one_group() -> None:
    """Twelve lines that differ in one number are one fact."""
    assert patterns([f"layers.{i}.attn.qkv.weight" for i in range(12)]) == ["layers.{0..11}.attn.qkv.weight"]


def test_several_places_are_numbered_where_the_product_is_complete() -> None:
    """`blocks.{0..2}.{0, 1}.weight` says that all six are there."""
    assert patterns([f"blocks.{i}.{j}.weight" for i in range(3) for j in (0, 1)]) == ["blocks.{0..2}.{0, 1}.weight"]


def test_an_incomplete_product_is_not_claimed() -> None:
    """Experts (0, 0) and (1, 1) missing are not `layers.{0, 1}.experts.{0, 1}`: two of those four are there."""
    assert patterns(["layers.0.experts.0", "layers.1.experts.1"]) == ["layers.0.experts.0", "layers.1.experts.1"]


def test_a_member_that_differs_splits_the_group() -> None:
    """A shape printed for twelve keys has to be the shape of all twelve."""
    keys = {f"layers.{i}.w": (4,) if i != 5 else (8,) for i in range(8)}
    assert [group.pattern for group in group_keys(keys)] == ["layers.{0..4, 6, 7}.w", "layers.5.w"]


def test_positions_in_lists_are_indices_too() -> None:
    """Optimizer state is numbered by position in a list or by integer keys."""
    assert patterns([f"optimizer.state[{i}].exp_avg" for i in (0, 2, 5)]) == ["optimizer.state[{0, 2, 5}].exp_avg"]


@pytest.mark.parametrize("key", ["layers.007.w", "conv1.weight", "layers.-1.w", "layers.1234567890123456789.w", "layers.²"])
def test_numbers_written_another_way_stay_text(key: str) -> None:
    """`007` and `7` are different keys, and a group must give back the one that is there."""
    assert group_keys([key])[0].indices == ()
    assert patterns([key]) == [key]


def test_leaves_are_put_together_only_when_asked() -> None:
    """`bn1.{weight, bias}` is shorter, but a table of shapes needs them apart where shapes differ."""
    keys = ["bn1.weight", "bn1.bias", "fc.weight"]
    assert patterns(keys) == keys
    assert patterns(keys, leaves=True) == ["bn1.{weight, bias}", "fc.weight"]


def test_leaves_of_different_index_sets_stay_apart() -> None:
    """Layer 3 without a bias must not be hidden in a brace."""
    keys = [f"layers.{i}.weight" for i in range(4)] + [f"layers.{i}.bias" for i in range(3)]
    assert patterns(keys, leaves=True) == ["layers.{0..3}.weight", "layers.{0..2}.bias"]


def test_many_leaves_get_a_line_each() -> None:
    """A brace of seven names is harder to read than seven lines."""
    keys = [f"m.{name}" for name in "abcdefg"]
    assert patterns(keys, leaves=True) == keys


def test_braces_that_belong_to_keys_are_marked() -> None:
    """A key may be written so that it looks like a group of others."""
    assert patterns(["a{0..9}.0", "a{0..9}.1"]) == ["a\\{0..9\\}.{0, 1}"]
    assert patterns(["a.{0..9}"]) == ["a.{0..9}"]


@pytest.mark.parametrize(
    ("indices", "text"),
    [((3,), "3"), ((0, 1), "{0, 1}"), ((0, 1, 2), "{0..2}"), ((0, 2, 5), "{0, 2, 5}"), ((0, 1, 2, 7, 9, 10), "{0..2, 7, 9, 10}")],
)
def test_runs_of_three_or_more_are_written_with_dots(indices: tuple[int, ...], text: str) -> None:
    """`{0..1}` would be longer than `{0, 1}` and no clearer."""
    assert index_text(indices) == text


def test_long_lists_of_numbers_can_be_counted_in_place_of_listed() -> None:
    """Every other layer of a hundred is one fact, and fifty numbers are none that anybody reads."""
    (group,) = group_keys([f"state.{i}.w" for i in range(0, 20, 2)])
    assert group.text() == "state.{10 of 0..18}.w"
    assert group.pattern == "state.{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}.w"


def test_leaves_with_long_names_get_a_line_each() -> None:
    """A brace that has to be cut to fit says less than the names."""
    keys = ["lstm.weight_ih_l0_reverse", "lstm.weight_hh_l0_reverse", "lstm.weight_ih_l1_reverse"]
    assert patterns(keys, leaves=True) == keys


def test_no_keys_give_no_groups() -> None:
    """An empty state dict is a normal input."""
    assert group_keys([]) == ()


def experts(layers: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns the keys of a mixture of experts, 336 in each layer."""
    leaves = ("gate.weight", "up.weight", "down.weight")
    return {f"layers.{i}.experts.{j}.{leaf}": ("float32", (4, 4)) for i in range(layers) for j in range(112) for leaf in leaves}


def test_twenty_thousand_keys_are_grouped() -> None:
    """A mixture of experts has that many."""
    keys = experts(60)
    assert len(keys) > 20_000
    assert [group.count for group in group_keys(keys)] == [60 * 112] * 3


def test_the_work_of_grouping_grows_with_the_number_of_keys() -> None:
    """Four times the keys are four times the work, and no more than sorting adds to that."""
    assert growth(lambda layers: group_keys(experts(layers)), 3) < 5


def test_a_key_of_thousands_of_indices_costs_no_more_than_its_length() -> None:
    """Keys come from files, and a file may have been made to keep the reader busy."""
    key = ".".join(["7"] * 50_000)
    assert patterns([key, key + ".8"]) == [key, key + ".8"]
    assert growth(lambda length: patterns([".".join(["7"] * length), ".".join(["7"] * length) + ".8"]), 500) < 5
