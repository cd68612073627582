"""Every kind of argument there and back as text."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
from collections import OrderedDict, defaultdict, namedtuple
from enum import Enum
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from intact.model.making.argument_values import Decoder
from intact.model.making.arguments import Encoder, Uncapturable
from intact.model.making.tokens import alike


class Colour(Enum):
    """An enumeration."""

    RED = 1


Pair = namedtuple("Pair", ["a", "b"])


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A dataclass that cannot be set."""

    a: int = 1
    inner: Any = None


@dataclasses.dataclass
class Slotted:
    """A dataclass without a dictionary."""

    __slots__ = ("a", "b")
    a: int
    b: str


class Plain:
    """An object whose constructor must not be called again."""

    calls = 0

    def __init__(self, a: object) -> None:
        Plain.calls += 1
        self.a = a


class Convertible:
    """A configuration that converts itself."""

    def __init__(self, a: int = 1) -> None:
        self.a = a

    def to_dict(self) -> dict[str, Any]:
        return {"a": self.a}

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Convertible:
        return cls(**held)


class Losing(Convertible):
    """A configuration whose `to_dict` leaves something out."""

    def __init__(self, a: int = 1) -> None:
        super().__init__(a)
        self.b: object = 2


class Everything:
    """Resolves what was just encoded."""

    def __init__(self, references: dict[str, Any]) -> None:
        self.references = references

    def resolve(self, reference: str, use: str) -> Any:
        return self.references[reference]


def travelled(value: Any) -> Any:
    """Returns a value after its way through JSON text."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(value), allow_nan=False)
    text.encode("utf-8")
    return Decoder(Everything(encoder.references), torch.device).decode(json.loads(text))


def losing() -> Losing:
    """Returns one that only its attributes tell whole."""
    value = Losing(3)
    value.b = (1, 2)
    return value


def nested(depth: int) -> Any:
    """Returns a list in a list in a list."""
    return [nested(depth - 1)] if depth else None


VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -0.5,
    "text",
    2**53,
    -(2**70),
    "\ud800 alone",
    "~",
    {"~": "ref", "v": "os:system"},
    [1, (2, [3])],
    (1,),
    {1, 2},
    frozenset({"a"}),
    {"a": 1, 2: "b", (1, 2): None},
    OrderedDict(b=1, a=2),
    defaultdict(list, a=[1]),
    b"\0\xff",
    1 + 2j,
    slice(1, None, 2),
    range(0, 9, 3),
    Path("a/b"),
    PurePosixPath("c"),
    Colour.RED,
    Pair(1, (2,)),
    Frozen(2, Frozen(3)),
    Slotted(1, "b"),
    Plain([1, Plain(None)]),
    Convertible(4),
    losing(),
    SimpleNamespace(a=1, b=(2,)),
    argparse.Namespace(lr=0.1),
    functools.partial(F.gelu, approximate="tanh"),
    functools.partial(nn.LayerNorm, eps=1e-6),
    torch.float16,
    torch.device("cpu"),
    torch.device("cuda", 1),
    torch.Size([1, 2]),
    torch.channels_last,
    torch.sparse_coo,
    nn.ReLU,
    F.relu,
    torch.sigmoid,
    math.sqrt,
    torch.nn.init.xavier_uniform_,
    int,
    math.inf,
    -math.inf,
    np.float32(0.5),
    np.int64(3),
    np.arange(6).reshape(2, 3),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{str(value)[:20]!a}")
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    """A tuple that comes back as a list, or a dtype as text, makes another model."""
    again = travelled(value)
    assert type(again) is type(value)
    assert alike(again, value)


def test_a_partial_comes_back_with_its_arguments() -> None:
    """It is made, not called."""
    again = travelled(functools.partial(nn.Linear, 3, bias=False))
    assert (again.func, again.args, again.keywords) == (nn.Linear, (3,), {"bias": False})


def test_not_a_number_and_minus_zero_keep_their_nature() -> None:
    """JSON has neither infinities nor NaN."""
    assert math.isnan(travelled(math.nan))
    assert math.copysign(1, travelled(-0.0)) == -1


@pytest.mark.parametrize(
    "tensor", [torch.tensor(3), torch.arange(6.0).reshape(2, 3), torch.empty(0, 2), torch.tensor([1 + 2j]), torch.tensor([True])]
)
def test_a_small_tensor_comes_back_bit_for_bit(tensor: torch.Tensor) -> None:
    """Weights of classes and means of channels are arguments."""
    again = travelled(tensor)
    assert again.dtype == tensor.dtype
    assert again.shape == tensor.shape
    assert torch.equal(again, tensor)
    assert isinstance(travelled(nn.Parameter(torch.ones(2))), nn.Parameter)


def test_an_object_is_filled_and_not_constructed() -> None:
    """A constructor may do anything, and what it did shows in the attributes already."""
    value, before = Plain(1), Plain.calls
    assert travelled(value).a == 1
    assert Plain.calls == before


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda x: x, "lambda"),
        ([{"deep": lambda x: x}], "lambda"),
        (torch.zeros(2000), "8000 bytes"),
        (torch.zeros(2, device="meta"), "bytes"),
        (Plain(object()), "`a`"),
        (nn.Linear(2, 2), "Linear"),
        ([0] * 60_000, "too many"),
        (nested(40), "deeply"),
        (Convertible().to_dict, "found again"),
        (iter([]), "list_iterator"),
        (np.array([object()]), "numpy"),
    ],
)
def test_what_has_no_form_is_refused_with_a_reason(value: Any, reason: str) -> None:
    """Text in its place would be a model that cannot be rebuilt, found out years later."""
    with pytest.raises(Uncapturable, match=reason):
        Encoder().encode(value)


HOSTILE: list[Any] = [
    {},
    {"~": 1},
    {"~": "nonsense"},
    {"~": "tuple"},
    {"~": "tuple", "v": 3},
    {"~": "bytes", "v": "%"},
    {"~": "float", "v": "much"},
    {"~": "int", "v": "0x" + "z"},
    {"~": "size", "v": [-1]},
    {"~": "size", "v": ["1"]},
    {"~": "dtype", "v": "load"},
    {"~": "dtype", "v": "nn.functional"},
    {"~": "dict", "v": [[1]]},
    {"~": "dict", "v": [[[], 1]]},
    {"~": "set", "v": [[]]},
    {"~": "slice", "v": [1, 2, 3, 4]},
    {"~": "range", "v": ["a"]},
    {"~": "partial", "v": [1, 2, 3]},
    {"~": "partial", "v": []},
    {"~": "same", "id": 5},
    {"~": "enum", "c": "m:C", "v": "X"},
    {"~": "object", "c": "m:C", "how": "config", "v": {}},
    {"~": "object", "c": "m:C", "how": "plain", "v": 3},
    {"~": "object", "c": "m:C"},
    {"~": "module", "id": 0, "c": "m:C", "a": []},
    {"~": "module", "id": 0, "c": "m:C", "a": {"x": {"~": "?"}}},
    {"~": "tensor", "dtype": "float32", "shape": [10], "v": ""},
    {"~": "parameter", "dtype": "float32", "shape": [2**50]},
    {"~": "numpy", "dtype": "O", "shape": [], "v": ""},
    {"~": "numpy", "dtype": "f4", "shape": [3], "v": "AAAA"},
    {"~": "ref", "v": []},
    {"~": "SimpleNamespace", "v": [[1, 2]]},
    {"~": "defaultdict", "v": []},
    {"~": "complex", "v": ["x", 1]},
    {"~": "path", "v": None},
]


@pytest.mark.parametrize("data", HOSTILE, ids=str)
def test_malformed_data_are_a_value_error(data: Any) -> None:
    """A file is somebody else's; what is not understood is refused, and never half understood."""
    with pytest.raises(ValueError, match=r"."):
        Decoder(Everything({"m:C": Plain}), torch.device).decode(data)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=8)
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
@settings(max_examples=150, deadline=None)
def test_plain_data_of_any_shape_come_back(value: Any) -> None:
    """Nothing in the data is taken for our own marks."""
    assert alike(travelled(value), value)
