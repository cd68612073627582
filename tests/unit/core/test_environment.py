"""The record of an environment: it comes back from JSON as it was, and a hostile text becomes a ValueError."""

from __future__ import annotations

import json

import pytest

from intact.core.environment import LONGEST_RECORD, LONGEST_TEXT, MOST_ENTRIES, Distribution, Environment, Settings, SourceTree

SETTINGS = Settings("float32", "warn", True, False, "high", "tf32", "none", 8)
FULL = Environment(
    python="3.11.7",
    torch="2.13.0+cu128",
    devices=("NVIDIA H100", "NVIDIA H100"),
    settings=SETTINGS,
    distributions=(
        Distribution("torch", "2.13.0+cu128", ("torch",), ("torch.nn.modules.linear.Linear",), "index"),
        Distribution("own", "0.1", ("own",), (), "editable", "", "a" * 40, True),
    ),
    sources=(SourceTree(("net",), ("net.Net",), "b" * 40, False),),
)


@pytest.mark.parametrize("record", [FULL, Environment()], ids=["full", "empty"])
def test_a_record_comes_back_from_json_as_it_was(record: Environment) -> None:
    """What is compared years later is what was recorded."""
    text = record.to_json()
    assert Environment.from_json(text) == record
    assert Environment.from_json(text).to_json() == text


def test_members_of_a_later_version_are_passed_over() -> None:
    """A file of next year's intact still says what this one understands."""
    text = json.dumps({**json.loads(FULL.to_json()), "quantum": {"qubits": 3}})
    assert Environment.from_json(text) == FULL


def test_what_an_earlier_version_did_not_record_is_not_known() -> None:
    """An absent member is no statement."""
    assert Environment.from_json('{"torch":"2.13.0"}') == Environment(torch="2.13.0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"python":3}',
        json.dumps({"python": "a" * (LONGEST_TEXT + 1)}),
        '{"python":"\ud800"}',
        json.dumps({"devices": ["x"] * (MOST_ENTRIES + 1)}),
        '{"distributions":[{"name":"torch"}]}',
        '{"distributions":[{"name":"torch","version":"1","origin":"elsewhere"}]}',
        '{"settings":{"threads":1e400}}',
        '{"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"python":"' + "a" * LONGEST_RECORD + '"}',
    ],
    ids=range(12),
)
def test_a_text_that_is_no_record_is_refused(text: str) -> None:
    """It stands in a file that anybody can write."""
    with pytest.raises(ValueError, match="the record of the environment"):
        Environment.from_json(text)


def test_a_distribution_is_found_by_its_name() -> None:
    """The comparison asks by the name that the other side recorded."""
    assert FULL.distribution("own") == FULL.distributions[1]
    assert FULL.distribution("elsewhere") is None
