"""Entries of a state dict as JSON: the same values of the same types come back, and nothing else gets in."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, namedtuple
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intact.core.entries import DEEPEST, MOST_BYTES, NoForm, decode, encode


class Tensor:
    """Stands for a tensor: this module knows none."""

    def __init__(self, dtype: str, shape: tuple[int, ...], content: bytes) -> None:
        self.parts = (dtype, shape, content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tensor) and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]


def parts_of(value: Any) -> tuple[str, tuple[int, ...], bytes] | None:
    """What `encode` asks of a value."""
    return value.parts if isinstance(value, Tensor) else None


def back(value: Any) -> Any:
    """A value through JSON and back."""
    return decode(msgspec.json.decode(msgspec.json.encode(encode(value, parts_of))), Tensor)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types throughout, with NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or (one != one and other != other))
    return bool(one == other)


hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()) | st.binary(max_size=9),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashable
    | st.floats()
    | st.integers(-(2**200), 2**200)
    | st.text(st.characters(codec=None))
    | st.complex_numbers()
    | st.binary(max_size=9).map(bytearray)
    | st.builds(Tensor, st.just("uint8"), st.just((3,)), st.binary(min_size=3, max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4).map(OrderedDict)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
@example({"$dict": [["a", 1]], 1: "one", "1": "text", (1, 2): None})
@example(["\ud800", 2**64, -(2**63) - 1, 10**4_000, -0.0, float("nan"), -float("nan"), float("-inf"), True, 1, 1.0])
def test_values_come_back_with_their_types(value: Any) -> None:
    """A number that became text, or a tuple that became a list, is another state."""
    assert same(back(value), value)


@given(values)
def test_any_json_reader_sees_the_same_values(value: Any) -> None:
    """Other programs read JSON with numbers of 64 bits."""
    text = msgspec.json.encode(encode(value, parts_of))
    assert msgspec.json.decode(text) == json.loads(text)
    assert all(-(2**63) <= int(number) < 2**63 for number in integers_in(json.loads(text)))


def integers_in(data: Any) -> list[int]:
    """All integers within JSON."""
    if isinstance(data, dict):
        return [number for member in data.values() for number in integers_in(member)]
    if isinstance(data, list):
        return [number for member in data for number in integers_in(member)]
    return [data] if type(data) is int else []


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("value", [object(), PurePosixPath("x"), Point(1, 2), Counter("aa"), print, {"a": [1, {2: range(3)}]}])
def test_values_of_other_classes_have_no_form(value: Any) -> None:
    """To make them again would mean to run their class."""
    with pytest.raises(NoForm, match=r"is a `"):
        encode(value, parts_of, "state")


def test_the_error_says_where_the_value_stands() -> None:
    """State dicts of large programs have thousands of entries."""
    with pytest.raises(NoForm, match=r"`state\['a'\]\[1\]\[2\]` is a `builtins.range`"):
        encode({"a": [1, {2: range(3)}]}, parts_of, "state")


def test_what_leads_back_to_itself_is_refused() -> None:
    """JSON has no end for it."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NoForm, match="nested more than"):
        encode(loop, parts_of, "state")


def test_the_deepest_nesting_comes_back() -> None:
    """What was written must be read."""
    value: Any = 1
    for number in range(DEEPEST + 1):
        value = {"a": value} if number % 2 else (value,)
    assert same(back(value), value)


def test_a_weight_is_no_entry() -> None:
    """Its bytes would be text, a third longer, and nobody else would see it."""
    with pytest.raises(NoForm, match="are the limit"):
        encode(Tensor("uint8", (MOST_BYTES + 1,), bytes(MOST_BYTES + 1)), parts_of)


DEEP: Any = 1
for _ in range(100):
    DEEP = [DEEP]

MALFORMED: list[Any] = [
    {},
    {"a": 1},
    {"$tuple": [], "$list": []},
    {"$list": []},
    {"$tuple": 1},
    {"$set": [[]]},
    {"$set": 5},
    {"$dict": [1]},
    {"$dict": [[1]]},
    {"$dict": [[[], 1]]},
    {"$dict": {"a": 1}},
    {"$OrderedDict": None},
    {"$bytes": "é"},
    {"$bytes": "A"},
    {"$bytes": 5},
    {"$str": "gIA="},
    {"$float": "one"},
    {"$float": []},
    {"$float": 10**400},
    {"$int": "0x"},
    {"$int": 1.5},
    {"$complex": [1]},
    {"$complex": [10**400, 0]},
    {"$complex": ["a", "b"]},
    {"$tensor": ["uint8", [1]]},
    {"$tensor": [1, [1], "AA=="]},
    {"$tensor": ["uint8", [-1], "AA=="]},
    {"$tensor": ["uint8", [True], "AA=="]},
    {"$tensor": ["uint8", [2**63], "AA=="]},
    {"$tensor": ["uint8", [1] * 65, "AA=="]},
    {"$tensor": ["uint8", 1, "AA=="]},
    {"$tensor": ["uint8", [1], "?"]},
    DEEP,
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_data_are_a_value_error(data: Any) -> None:
    """They are from a file, and an error of another kind would reach the user as a bug."""
    with pytest.raises(ValueError):
        decode(data, Tensor)


FORMS = ["$tuple", "$set", "$dict", "$float", "$int", "$str", "$bytes", "$complex", "$tensor", "a"]
documents = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FORMS), inner, min_size=1, max_size=2),
    max_leaves=10,
)


@given(documents)
def test_any_json_is_decoded_or_is_a_value_error(data: Any) -> None:
    """Nothing that JSON can say may end in another error."""
    with suppress(ValueError):
        decode(data, Tensor)


@pytest.mark.parametrize("form", ["$set", "$frozenset", "$dict", "$OrderedDict"])
def test_numbers_that_share_a_hash_by_design_are_refused_at_once(form: str) -> None:
    """50,000 of them would take a minute, and a header has room for a million."""
    numbers = [{"$int": hex(number * (2**61 - 1))} for number in range(50_000)]
    members = [[number, 1] for number in numbers] if "ict" in form else numbers
    with pytest.raises(ValueError, match="share a hash"):
        decode({form: members}, Tensor)


def test_many_members_by_chance_are_fine() -> None:
    """An optimizer has a million steps, a tokenizer as many words."""
    value = {number * 7: str(number) for number in range(50_000)}
    assert back(value) == value
