"""The record of a model's behaviour comes from a file, and a file may hold anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intact.core.probe import (
    ABSENT,
    MOST_READ_BYTES,
    CallRecord,
    Fingerprint,
    Noise,
    Output,
    Probe,
    Table,
    Trace,
)

SKETCH = "AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/"
ONE = Fingerprint("float32", (2, 3), "abc", SKETCH)
CALLS = (
    CallRecord(0, ABSENT, 0, (0,), 1, (1,)),
    CallRecord(1, 0, 0, (0,), 1, (1,)),
    CallRecord(2, 1, 0, (0,), ABSENT, ()),
    CallRecord(1, 0, 0, (1,), 1, (1,)),
)
TRACE = Trace(
    (Output("logits", ONE, "AAAA"),),
    (("", "m:Net"), ("a", "m:A"), ("a.b", "m:B")),
    (("[0]",), ("",)),
    (ONE, Fingerprint("int64", (), "def")),
    CALLS,
)
PROBE = Probe(
    1,
    7,
    [[1], []],
    TRACE,
    "0030",
    ("logits",),
    Noise("a", "m:A", 0.5),
    (Table("a", "vocab", "dict", 3, "xyz", ("'a': 1",)),),
    {"a.mask": ONE},
    ("a.count",),
)


def test_a_record_comes_back_from_its_text() -> None:
    """What is lost on the way would look like a change of the model."""
    assert Probe.from_json(PROBE.to_json()) == PROBE


def test_events_are_in_the_order_in_which_they_happened() -> None:
    """Where two runs part is the first of them: a call ends after all that were made within it."""
    assert list(TRACE.events()) == [
        ("inputs", 0),
        ("inputs", 1),
        ("inputs", 2),
        ("outputs", 2),
        ("outputs", 1),
        ("inputs", 3),
        ("outputs", 3),
        ("outputs", 0),
    ]


def test_leaves_have_the_names_that_they_had() -> None:
    """Inputs are compared by name: one that is given by keyword now is another."""
    assert TRACE.leaves("inputs", CALLS[0]) == {"[0]": ONE}
    assert TRACE.leaves("outputs", CALLS[2]) == {}


def changed(*path: Any, to: Any) -> str:
    """Returns the text of the record with one value in it replaced."""
    data: Any = json.loads(PROBE.to_json())
    node = data
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 1',
        changed("trace", "calls", 1, 0, to=3),
        changed("trace", "calls", 1, 0, to=-1),
        changed("trace", "calls", 1, 1, to=1),
        changed("trace", "calls", 1, 1, to=3),
        changed("trace", "calls", 0, 2, to=2),
        changed("trace", "calls", 0, 3, to=[5]),
        changed("trace", "calls", 0, 3, to=[-1]),
        changed("trace", "calls", 0, 3, to=[0, 0]),
        changed("trace", "calls", 0, 3, to="x"),
        changed("trace", "prints", 0, 3, to="AAAA"),
        changed("trace", "prints", 0, 3, to="é"),
        changed("trace", "prints", 0, 1, to=[-1]),
        changed("buffers", "a.mask", 3, to="no base64!"),
        changed("noisy", to="000"),
        changed("noisy", to="0040"),
        changed("seed", to=-1),
        changed("version", to=2),
        changed("trace", "outputs", to=[["logits"]]),
        "[" * 100_000,
    ],
)
def test_a_record_that_is_none_is_refused(text: str) -> None:
    """Each index leads into a table, and each mark to a call, before anything is compared."""
    with pytest.raises(ValueError, match="probe"):
        Probe.from_json(text)


def test_a_record_that_is_too_long_is_refused_before_it_is_read() -> None:
    """Reading it would take memory that the sender chooses."""
    with pytest.raises(ValueError, match="most that are read"):
        Probe.from_json(" " * (MOST_READ_BYTES + 1))


def test_members_that_a_later_version_adds_are_passed_over() -> None:
    """A record of version 1 is replayed whatever stands beside it."""
    data = json.loads(PROBE.to_json()) | {"more": [1, 2]}
    assert Probe.from_json(json.dumps(data)) == PROBE
