"""Limits of what `inspect` prints, and that JSON has none."""

from __future__ import annotations

import json

import pytest
from tests.golden import reports

from intact.core.description import Description, Extra, ModuleInfo
from intact.core.report import Report
from intact.core.tensor import TensorInfo
from intact.renderers import inspection
from intact.renderers.json import dumps
from intact.renderers.places import places_of


def report_of(*tensors: TensorInfo, extras: tuple[Extra, ...] = ()) -> Report:
    """Returns a report on these tensors."""
    return Report(reports.source(), found=Description({tensor.key: tensor for tensor in tensors}, extras=extras))


def unlike(count: int) -> list[TensorInfo]:
    """Returns tensors of which no two can be grouped."""
    return [TensorInfo(f"part{i:03}x.w", "float32", (i + 1,)) for i in range(count)]


def test_many_groups_are_cut_with_a_count() -> None:
    """Eight hundred lines tell nobody what the file is."""
    text = inspection.render(report_of(*unlike(100)))
    assert "part059x.w" in text
    assert "part060x.w" not in text
    assert "and 40 more tensors, --all-keys shows them" in text


def test_all_keys_are_listed_when_asked_for() -> None:
    """The promise of the line above."""
    text = inspection.render(report_of(*unlike(100)), everything=True)
    assert "part099x.w" in text
    assert "more" not in text


def test_a_deep_key_makes_a_bounded_tree() -> None:
    """A key of a hundred thousand dots must not exhaust the stack."""
    text = inspection.render(
        report_of(TensorInfo("a." * 100_000 + "w", "float32", (1,)), TensorInfo("a.w", "int8", ())), tree=True
    )
    assert len(text) < 5000


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_tables_keep_within_the_terminal(width: int) -> None:
    """A broken table is harder to read than a shortened key."""
    report = reports.training()
    for tree in (False, True):
        lines = inspection.render(report, tree=tree, width=width).splitlines()
        assert max(map(len, lines)) <= max(width, 96)


def test_json_is_complete_and_pure_ascii() -> None:
    """Names that a terminal would obey are data here, and must come back exactly."""
    report = reports.hostile()
    text = dumps(inspection.to_dict(report))
    assert text.isascii()
    assert [t["key"] for t in json.loads(text)["found"]["tensors"]] == list(report.found.tensors)


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    """`Infinity` stops every strict reader."""

    def refuse(text: str) -> None:
        raise AssertionError(text)

    data = {"a": float("inf"), "b": [float("nan")], "c": {3, 1}, "d": (1, 2.5), "e": None, "f": True, 7: b"x"}
    read = json.loads(dumps(data), parse_constant=refuse)
    assert read == {"a": "inf", "b": ["nan"], "c": [1, 3], "d": [1, 2.5], "e": None, "f": True, "7": "b'x'"}


def test_places_are_coarse() -> None:
    """A thousand entries of optimizer state are one place, and so is everything inside a pickled module."""
    tensors = [
        TensorInfo("model.w", "float32", (1,), nest="model"),
        TensorInfo("optimizer.state[0].m", "float32", (1,), nest="optimizer.state[0]"),
        TensorInfo("optimizer.state[1].m", "float32", (1,), nest="optimizer.state[1]"),
        TensorInfo("net.layers.0.w", "float32", (1,), nest="net.layers.0"),
        TensorInfo("0.w", "float32", (1,), nest="0"),
    ]
    modules = {path: ModuleInfo(path, "Net") for path in ("net", "net.layers", "net.layers.0")}
    found = Description({tensor.key: tensor for tensor in tensors}, modules=modules)
    assert {place: len(held) for place, held in places_of(found).items()} == {"model": 1, "optimizer.state": 2, "net": 1, "": 1}


def test_many_places_are_told_apart_by_their_first_component() -> None:
    """A mapping for each layer is a way to save a model, not a checkpoint of a hundred parts."""
    tensors = [TensorInfo(f"net.layer{i}x.w", "float32", (1,), nest=f"net.layer{i}x") for i in range(40)]
    assert list(places_of(Description({tensor.key: tensor for tensor in tensors}))) == ["net"]
