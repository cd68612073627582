"""Arguments kept from the call of the constructor."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.core.architecture import Architecture
from intact.model.making.architecture import capture
from intact.model.making.rebuilding import rebuild
from intact.model.making.recording import ATTRIBUTE, recorded_call


def widen(width: int) -> int:
    """Returns a number that does not say what it was made from."""
    return (width * 7919) % 31 + 1


@intact.recorded
class Hidden(nn.Module):
    """Its argument leaves no trace that could be followed."""

    def __init__(self, width: int, *rest: int, names: list[str] | None = None, **more: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(widen(width), widen(sum(rest)))
        self.count = len(names or ()) + len(more)
        if names:
            names.clear()


class Base(intact.Recorded, nn.Module):
    """Prepared by the mixin."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(widen(width), 2)


class Derived(Base):
    """Gives its base something else than it was given."""

    def __init__(self, name: str, width: int = 3) -> None:
        super().__init__(width + len(name))


class Inheriting(Hidden):
    """Has no constructor of its own."""


class Unprepared(Hidden):
    """A subclass of a prepared class, with a constructor that nobody prepared."""

    def __init__(self, width: int) -> None:
        super().__init__(width * 2, 5)
        self.width = width


@intact.recorded
class Holding(nn.Module):
    """Keeps a module that it was given, and a large tensor."""

    def __init__(self, inner: nn.Module, table: torch.Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("table", table)


def back(model: nn.Module) -> nn.Module:
    """Returns the model rebuilt from what a file would hold."""
    return rebuild(Architecture.from_json(capture(model).architecture.to_json()), type(model))


@pytest.mark.parametrize(
    "make",
    [lambda: Hidden(3, 4, 5, names=["a", "b"], x=1), lambda: Base(9), lambda: Derived("four"), lambda: Inheriting(2, 8)],
)
def test_a_prepared_class_is_rebuilt_from_its_call(make: Any) -> None:
    """Also where no search could find the arguments, and where the constructor empties what it was given."""
    model = make()
    constructor = capture(model).architecture.constructor
    assert (constructor.how, constructor.proved) == ("recorded", True), constructor.reason
    rebuilt = back(model)
    assert repr(rebuilt) == repr(model)
    assert vars(rebuilt).get("count") == vars(model).get("count")


def test_the_outermost_call_counts() -> None:
    """What a subclass gives to its base is not what the subclass was given."""
    call = recorded_call(Derived("four", 7))
    assert call is not None
    assert call.values == {"name": "four", "width": 7}
    assert recorded_call(Unprepared(3)) is None
    assert capture(Unprepared(3)).architecture.constructor.how == "reconstructed"
    assert repr(back(Unprepared(3))) == repr(Unprepared(3))


def test_a_prepared_class_looks_as_before() -> None:
    """Signatures are read by editors and by other tools."""
    assert list(inspect.signature(Hidden).parameters) == ["width", "rest", "names", "more"]
    assert Hidden.__init__.__qualname__ == "Hidden.__init__"
    assert intact.recorded(Hidden) is Hidden
    with pytest.raises(TypeError, match="width"):
        Hidden()  # type: ignore[call-arg]


def test_a_copy_keeps_the_call_and_a_pickle_needs_no_package() -> None:
    """Averaged models are copies; a pickled model must open where this package is not."""
    model = Hidden(3, 4)
    assert repr(back(copy.deepcopy(model))) == repr(model)
    text = pickle.dumps(model)
    assert b"intact.model" not in text
    again = pickle.loads(text)
    assert type(vars(again)[ATTRIBUTE]) is dict
    assert repr(back(again)) == repr(model)


def test_the_call_is_no_state() -> None:
    """It stands in no state dict and changes no comparison."""
    model = Hidden(3, 4)
    assert list(model.state_dict()) == ["fc.weight", "fc.bias"]


def test_modules_and_tensors_of_a_call_are_shared_and_bounded() -> None:
    """A module is kept by reference; a large tensor is not kept twice, and is found on the instance as what it became."""
    inner, table = nn.Linear(2, 2), torch.arange(5000.0)
    model = Holding(inner, table)
    call = recorded_call(model)
    assert call is not None
    assert call.values["inner"] is inner
    assert not isinstance(call.values["table"], torch.Tensor)
    constructor = capture(model).architecture.constructor
    assert constructor.proved, constructor.reason
    rebuilt = back(model)
    rebuilt.load_state_dict(model.state_dict())
    assert isinstance(rebuilt, Holding)
    assert torch.equal(rebuilt.get_buffer("table"), table)


def test_an_argument_of_a_call_that_cannot_be_kept_is_named() -> None:
    """A lambda has no name; nothing else on the instance says what it was."""

    @intact.recorded
    class Given(nn.Module):
        def __init__(self, width: int, act: Any) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(width, width), act

    constructor = capture(Given(3, lambda x: x)).architecture.constructor
    assert not constructor.proved
    assert [name for name, _ in constructor.uncaptured] == ["act"]
    assert "lambda" in constructor.uncaptured[0][1]
