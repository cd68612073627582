"""The law of grouping: what the groups give back is what they were made of, no key more, none less, none twice."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from intact.core.grouping import group_keys

NAMES = st.sampled_from(["layers", "attn", "weight", "bias", "w", "0", "1", "2", "3", "10", "007", "-1", "x{0..3}", "", "é", "²"])
SEPARATORS = st.sampled_from([".", ".", ".", "[", "]."])
KEYS = st.lists(st.tuples(SEPARATORS, NAMES), min_size=1, max_size=5).map(lambda parts: "".join(s + n for s, n in parts)[1:])
PROFILED = st.dictionaries(KEYS, st.sampled_from(["float32 [4]", "float16 [4]"]), max_size=60)
BRACES = re.compile(r"\{([^{}]*)\}")


def expanded(pattern: str) -> list[str]:
    """Returns the keys that a pattern reads as, for a person who only sees the text."""
    pieces = BRACES.split(pattern)
    choices = [[piece] if number % 2 == 0 else read_list(piece) for number, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def read_list(text: str) -> list[str]:
    """Returns the members of `0..3, 7` or `weight, bias`."""
    members: list[str] = []
    for part in text.split(", "):
        begin, dots, end = part.partition("..")
        members += [str(number) for number in range(int(begin), int(end) + 1)] if dots else [part]
    return members


@given(PROFILED, st.booleans())
def test_groups_give_back_exactly_their_keys_each_once(keys: dict[str, str], leaves: bool) -> None:
    """A report that covers a missing layer by `{0..11}` sends people looking in the wrong place."""
    groups = group_keys(keys, leaves=leaves)
    assert sorted(key for group in groups for key in group.keys()) == sorted(keys)  # noqa: SIM118 - a group is no mapping
    assert all(group.count == len(list(group.keys())) for group in groups)


@given(PROFILED, st.booleans())
def test_all_keys_of_a_group_have_one_profile(keys: dict[str, str], leaves: bool) -> None:
    """One dtype and shape is printed for the whole group."""
    for group in group_keys(keys, leaves=leaves):
        assert {keys[key] for key in group.keys()} == {keys[group.first]}  # noqa: SIM118


@given(PROFILED, st.booleans())
def test_the_text_of_a_group_reads_as_its_keys(keys: dict[str, str], leaves: bool) -> None:
    """The text is what people see, and read as shells read braces it must name the same keys."""
    plain = {key: profile for key, profile in keys.items() if "{" not in key}
    for group in group_keys(plain, leaves=leaves):
        assert sorted(expanded(group.pattern)) == sorted(group.keys())


@given(PROFILED)
def test_groups_come_in_the_order_of_their_first_keys(keys: dict[str, str]) -> None:
    """The order of a file is the order of its layers, and people read from the top."""
    order = list(keys)
    firsts = [group.first for group in group_keys(keys)]
    assert firsts == sorted(firsts, key=order.index)
