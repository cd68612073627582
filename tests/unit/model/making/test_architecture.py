"""Capturing: what is in the record, what it costs, and that nobody notices."""

from __future__ import annotations

import logging
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.model.architectures import Mlp, Rotary, Stack, Tied
from torch import nn

from intact.model.making.architecture import capture
from intact.model.making.building import build
from intact.model.making.sources import digest_of, source_of


class Loud(nn.Module):
    """Says, draws and changes whatever it can."""

    def __init__(self, width: int) -> None:
        super().__init__()
        print("constructing")
        print("constructing", file=sys.stderr)
        warnings.warn("constructing", UserWarning, stacklevel=2)
        logging.getLogger("loud").error("constructing")
        self.width = width
        torch.rand(3), random.random(), np.random.rand(3)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        self.fc = nn.Linear(width, width)


class Bag(nn.Module):
    """Its argument cannot be captured."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        super().__init__()
        for number, tensor in enumerate(tensors):
            self.register_parameter(f"p{number}", nn.Parameter(tensor))


@pytest.mark.filterwarnings("ignore:constructing")
def test_capturing_leaves_no_trace(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """A save in the middle of a training run must not change the run."""
    try:
        model = Loud(4)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    capsys.readouterr()
    caplog.clear()
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    constructor = capture(model).architecture.constructor
    assert constructor.proved, constructor.reason
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (random.getstate(), str(np.random.get_state()))
    assert capsys.readouterr() == ("", "")
    assert not caplog.records
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert logging.root.manager.disable == logging.NOTSET


def test_the_default_dtype_of_the_time_is_kept() -> None:
    """A model built and saved under float64 is rebuilt as float64 under any default."""
    torch.set_default_dtype(torch.float64)
    try:
        constructor = capture(Mlp(3, 4, 5)).architecture.constructor
    finally:
        torch.set_default_dtype(torch.float32)
    assert (constructor.default_dtype, constructor.dtype, constructor.proved) == ("float64", "", True)
    assert capture(Mlp(3, 4, 5).double()).architecture.constructor.dtype == "float64"


@pytest.mark.parametrize("make", [lambda: Mlp(3, 4, 5), lambda: Tied(7, 4), lambda: Rotary(4), lambda: Stack(4, 2).half()])
def test_the_twin_is_the_model_without_memory(make: Any) -> None:
    """It tells what a fresh model has: keys, shapes, dtypes and ties."""
    model = make()
    twin = capture(model).twin
    assert twin is not None
    state, other = model.state_dict(), twin.state_dict()
    assert all(tensor.is_meta for tensor in [*twin.parameters(), *twin.buffers()])
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in state.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in other.items()
    }
    assert len(list(model.parameters())) == len(list(twin.parameters()))


def test_there_is_no_twin_without_a_proof_and_the_reason_is_given() -> None:
    """Who looks at the twin needs to know why there is none."""
    captured = capture(Bag([torch.zeros(3)]))
    assert captured.twin is None
    assert "tensors" in captured.twin_reason or captured.twin_reason == captured.architecture.constructor.reason


def test_saving_again_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training loops save every few minutes, and nothing but the values has changed in between."""
    model = Bag([torch.zeros(3) for _ in range(50)])
    first = capture(model)
    builds: list[object] = []

    def counted(make: Any, place: Any, small_bytes: int = 0) -> nn.Module:
        builds.append(place)
        return build(make, place, small_bytes)

    monkeypatch.setattr("intact.model.making.proving.build", counted)
    for _ in range(10):
        model.p0.data = torch.ones(3)
        assert capture(model).architecture == first.architecture
    assert builds == []


def test_a_model_that_counts_its_steps_is_not_searched_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute that changes with every step must not make every save a search."""
    model = Mlp(3, 4, 5)
    model.steps = 0  # type: ignore[assignment]
    capture(model)
    builds: list[object] = []

    def counted(make: Any, place: Any, small_bytes: int = 0) -> nn.Module:
        builds.append(place)
        return build(make, place, small_bytes)

    monkeypatch.setattr("intact.model.making.proving.build", counted)
    for step in range(3):
        model.steps = step + 1  # type: ignore[assignment]
        assert capture(model).architecture.constructor.settings == (("", "steps", step + 1),)
    assert len(builds) <= 9


def test_the_record_knows_every_class_by_its_source() -> None:
    """A class that changes between saving and loading is told by its digest."""
    captured = capture(Stack(4, 2), include_source=True).architecture
    records = {record.name.rpartition(":")[2]: record for record in captured.classes}
    assert set(records) == {"Stack", "ModuleList", "Mlp", "Linear", "Dropout"}
    assert records["Mlp"].digest == digest_of(Mlp)
    assert records["Mlp"].digest.startswith("sha256:")
    assert records["Linear"].distribution == "torch"
    assert captured.sources["tests.unit.model.architectures:Mlp"] == source_of(Mlp)
    assert source_of(Mlp).startswith("class Mlp(nn.Module):\n")
    assert source_of(Mlp).rstrip().endswith("# type: ignore[no-any-return]")
    assert capture(Stack(4, 2)).architecture.sources == {}


def test_a_class_without_source_has_no_digest() -> None:
    """Typed into a prompt, it is known by its name alone."""
    space: dict[str, Any] = {"nn": nn, "__name__": "typed_in"}
    exec(
        "class Typed(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n        self.width = width\n", space
    )
    captured = capture(space["Typed"](3)).architecture
    assert captured.classes[0].digest == ""
    assert captured.constructor.proved


def test_the_largest_models_are_recorded_compactly() -> None:
    """Two thousand modules in less than 300 KB."""
    text = capture(nn.ModuleList([Mlp(2, 2, 2) for _ in range(500)])).architecture
    assert len(text.modules) == 2001
    assert len(text.to_json()) < 300_000


def test_an_unusual_model_does_not_stop_a_save() -> None:
    """Whatever the user's classes do when they are looked at, the save goes on and the gap is named."""

    class Hostile(nn.Module):
        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

        def extra_repr(self) -> str:
            raise RuntimeError("not today")

    class Unhashable(type):
        __hash__ = None  # type: ignore[assignment]

    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for value in (cyclic, Unhashable("Odd", (), {}), object(), {"a": cyclic}, range(3), NotImplemented, sys, capture, iter([])):
        assert capture(Hostile(value)).architecture.modules[0][0] == ""


def test_a_table_that_is_changed_or_replaced_is_looked_at_again() -> None:
    """A proof of yesterday must not stand for a table of today, wherever the new one lies in memory."""
    model = Rotary(4)
    assert capture(model).architecture.constructor.proved
    model.get_buffer("inv_freq").data.mul_(2)
    assert not capture(model).architecture.constructor.proved
    for _ in range(20):
        fresh = Rotary(4)
        assert capture(fresh).architecture.constructor.proved
        fresh.inv_freq = fresh.get_buffer("inv_freq") * 3
        assert not capture(fresh).architecture.constructor.proved
        del fresh


def test_a_model_whose_objects_raise_is_still_recorded() -> None:
    """Lazy proxies raise whatever they like when they are touched."""

    class Proxy(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise RuntimeError("not connected")

    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proxy = Proxy([1])

    captured = capture(Holding())
    assert not captured.architecture.constructor.proved
    assert "not connected" in captured.twin_reason
    assert captured.architecture.modules
