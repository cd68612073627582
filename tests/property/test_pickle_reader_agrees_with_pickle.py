"""Law: of plain data, the inert reader makes just what Python's own unpickler makes, in every protocol."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intact.containers.pickles import load

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
KEYS = st.text() | st.integers() | st.booleans() | st.none() | st.tuples(st.text(), st.integers())


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers of what there was."""
    return (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(st.text(), inner).map(OrderedDict)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
    )


def shape_of(value: Any) -> Any:
    """A value with its types, so that True is not 1 and a tuple no list."""
    if isinstance(value, dict):
        return type(value), [(shape_of(key), shape_of(member)) for key, member in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape_of(member) for member in value]
    return type(value), value


@given(st.recursive(LEAVES, nested, max_leaves=20), st.integers(0, 5))
def test_plain_data_is_read_as_pickle_reads_it(value: Any, protocol: int) -> None:
    """Whatever stands beside the tensors must arrive unchanged."""
    assert shape_of(load(pickle.dumps(value, protocol)).value) == shape_of(value)


@given(st.recursive(LEAVES, nested, max_leaves=10), st.integers(0, 5), st.binary(max_size=20))
def test_the_end_of_a_pickle_is_where_pickle_stops(value: Any, protocol: int, behind: bytes) -> None:
    """Legacy files hold five pickles in a row, found by nothing but their ends."""
    raw = pickle.dumps(value, protocol)
    assert load(b"\0\0" + raw + behind, begin=2).end == 2 + len(raw)
