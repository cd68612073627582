"""The record of an architecture as text, and hostile text."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import nn

from intact.core.architecture import Architecture, ClassRecord, Variant, plain_of
from intact.model.expectation import expect
from intact.model.making.architecture import capture


def record() -> Architecture:
    """Returns the record of a small model."""
    return capture(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.5))).architecture


def test_a_record_comes_back_from_its_text() -> None:
    """What is sealed is what is read."""
    assert Architecture.from_json(record().to_json()) == record()


def test_the_modules_are_those_of_the_live_description() -> None:
    """A sealed file and a model are compared by the same record."""
    for model in (nn.Transformer(8, 2, 1, 1, 8, batch_first=True), nn.Sequential(), nn.LazyLinear(3)):
        text = capture(model).architecture.to_json()
        assert Architecture.from_json(text).module_infos() == dict(expect(model).modules)


def test_a_configuration_that_many_modules_hold_stands_in_the_text_once() -> None:
    """Each of two thousand modules of a large model holds the same one."""

    class Part(nn.Module):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__()
            self.config = config

    config = {"name_of_an_entry": 1.5, "limit": float("inf"), "flag": True}
    model = nn.ModuleList([Part(config) for _ in range(2000)])
    architecture = capture(model).architecture
    assert len(architecture.tables) == 1
    modules = dataclasses.replace(architecture, constructor=dataclasses.replace(architecture.constructor, arguments={}))
    assert modules.to_json().count("name_of_an_entry") == 1
    assert len(modules.to_json()) < 60_000
    assert architecture.module_infos()["1999"].hyperparameters == expect(model).modules["1999"].hyperparameters


def changed(**fields: Any) -> str:
    """Returns the text of a record with other fields."""
    return json.dumps({**json.loads(record().to_json()), **fields})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "{",
        "\ud800",
        "[" * 100_000,
        '{"class_name": 1}',
        changed(modules=[["", 9, 0]]),
        changed(modules=[["", 0, -1]]),
        changed(modules=[["", 0, 0], ["", 0, 0]]),
        changed(modules=[["a"]]),
        changed(variants=[{"tables": [["config", 3]]}]),
        changed(classes=[1]),
        changed(constructor={"how": "magic"}),
        changed(constructor={"proved": "yes"}),
        changed(sources=[1]),
        changed(classes=[{"digest": "x"}]),
    ],
    ids=lambda text: text[:40].encode("unicode_escape").decode(),
)
def test_malformed_text_is_a_value_error(text: str) -> None:
    """The text stands in a file that anybody can write."""
    with pytest.raises(ValueError, match=r"."):
        Architecture.from_json(text)


def test_deep_and_long_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading must not take more than the declared bounds."""
    nested: Any = 1
    for _ in range(150):
        nested = [nested]
    constructor = {**json.loads(record().to_json())["constructor"], "arguments": {"x": nested}}
    with pytest.raises(ValueError, match="nested"):
        Architecture.from_json(changed(constructor=constructor))
    monkeypatch.setattr("intact.core.architecture.MOST_BYTES", 100)
    with pytest.raises(ValueError, match="characters"):
        Architecture.from_json(record().to_json())


def test_unknown_fields_of_a_later_version_are_passed_over() -> None:
    """A file from tomorrow still opens today."""
    assert Architecture.from_json(changed(colour="red")) == record()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"~": "tuple", "v": [1, {"~": "float", "v": "inf"}]}, (1, float("inf"))),
        ([1, [2]], (1, (2,))),
        ({"~": "int", "v": hex(2**60)}, 2**60),
        ({"~": "float", "v": "x"}, None),
        ({"~": "unheard", "v": {}}, None),
        (None, None),
    ],
)
def test_a_hyperparameter_is_plain_again(data: Any, expected: Any) -> None:
    """Rules compare hyperparameters of files and models as plain values."""
    assert plain_of(data) == expected


def test_a_variant_may_leave_out_what_it_does_not_have() -> None:
    """Records made by hand in other programs are short."""
    text = json.dumps({"class_name": "a:B", "modules": [["", 0, 0]], "variants": [{}], "classes": [{"name": "a:B"}]})
    found = Architecture.from_json(text)
    assert (found.variants, found.classes) == ((Variant(),), (ClassRecord("a:B"),))
    assert found.module_infos()[""].class_name == "a.B"
    assert torch.nn.Linear is not None
