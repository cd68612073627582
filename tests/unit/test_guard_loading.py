"""A guarded `load_state_dict` computes what torch computes, tells what is lost, and undoes and explains what fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import intact


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with intact.guard():
        yield


def net(classes: int = 10) -> nn.Sequential:
    """A small network with buffers."""
    torch.manual_seed(classes)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))


def copied(model: nn.Module) -> dict[str, torch.Tensor]:
    """Returns a state that does not follow the model."""
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


class Masked(nn.Module):
    """Infinite on purpose, and nan where nothing was measured yet."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
        self.register_buffer("unset", torch.tensor(float("nan")))
        self.head = nn.Linear(3, 3)


class Renaming(nn.Module):
    """Loads older checkpoints by a hook of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.new = nn.Linear(2, 2)
        self.register_load_state_dict_pre_hook(self._rename)  # type: ignore[no-untyped-call]

    @staticmethod
    def _rename(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
        for key in [key for key in state if key.startswith("old.")]:
            state["new." + key[4:]] = state.pop(key)


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Any]]]] = {
    "as it is": (net, lambda: net().state_dict()),
    "half to float": (net, lambda: net().half().state_dict()),
    "float to double": (lambda: net().double(), lambda: net().state_dict()),
    "masks": (Masked, lambda: Masked().state_dict()),
    "a hook that renames": (Renaming, lambda: {"old.weight": torch.ones(2, 2), "old.bias": torch.ones(2)}),
    "a lazy layer": (lambda: nn.LazyLinear(3), lambda: nn.Linear(2, 3).state_dict()),
    "a wrapper": (lambda: nn.DataParallel(net()), lambda: nn.DataParallel(net()).state_dict()),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_load_says_nothing_and_gives_what_torch_gives(name: str) -> None:
    """A false alarm is as bad as a fault that is missed."""
    make, states = HEALTHY[name]
    guarded, plain, state = make(), make(), states()
    nn.Module.load_state_dict.__wrapped__(plain, state)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = guarded.load_state_dict(state)
    assert str(result) == "<All keys matched successfully>"
    assert str(guarded.state_dict()) == str(plain.state_dict())


def test_a_prefix_that_strict_false_hides_is_told_with_the_line_that_removes_it() -> None:
    """Nothing is loaded, and torch says nothing that anybody reads."""
    model = net()
    with pytest.warns(intact.CheckpointWarning) as caught:
        result = model.load_state_dict(nn.DataParallel(net()).state_dict(), strict=False)
    text = str(caught[0].message)
    assert "nothing was loaded: none of the 9 keys" in text
    assert "arch/key-prefix: all 9 keys start with `module.`" in text
    assert "state = {key.removeprefix('module.'): value for key, value in state.items()}" in text
    assert len(result.missing_keys) == 8
    assert caught[0].filename == __file__


def test_keys_that_strict_false_skips_are_named() -> None:
    """Fine-tuning leaves a head out on purpose; whoever did not mean it sees which."""
    state = copied(net())
    del state["3.weight"], state["3.bias"]
    state["extra"] = torch.ones(1)
    with pytest.warns(
        intact.CheckpointWarning, match=r"not loaded, and as before: `3.weight`, `3.bias` \(2 of 9 keys\)"
    ) as caught:
        net().load_state_dict(state, strict=False)
    assert "not used: `extra`" in str(caught[0].message)


def test_a_million_in_half_precision_is_told_with_its_figures() -> None:
    """1e6 becomes infinite and 1e-9 zero, and the message is that all keys matched."""
    state = copied(net())
    state["0.weight"][0, :2] = torch.tensor([1e6, 1e-9])
    model = net().half()
    with pytest.warns(
        intact.CheckpointWarning, match=r"dtype/overflow: 1 of 32 values overflow .* 1000000 becomes inf"
    ) as caught:
        model.load_state_dict(state)
    assert isinstance(caught[0].message, intact.CheckpointWarning)
    report = caught[0].message.report
    assert report is not None
    assert report.verdict == "lossy"
    assert bool(model.state_dict()["0.weight"].isinf().any()), "the guard tells, and does not decide"


def test_nan_and_infinity_in_what_was_learned_are_told() -> None:
    """A run that diverged saves as always, and loads as always."""
    state = copied(net())
    state["3.weight"][2, 1] = float("nan")
    state["0.bias"].fill_(float("inf"))
    with pytest.warns(intact.CheckpointWarning, match=r"value/nan: 2 parameters of 6, as `0.bias`, `3.weight`, hold nan or infi"):
        net().load_state_dict(state)


@pytest.mark.parametrize("strict", [True, False])
def test_a_head_of_another_size_is_explained_and_the_model_is_as_it_was(strict: bool) -> None:
    """torch raises at the end, when the rest is overwritten already."""
    model = net(3)
    before = copied(model)
    with pytest.raises(RuntimeError, match=r"size mismatch for 3\.weight") as caught:
        model.load_state_dict(net(10).state_dict(), strict=strict)
    assert "arch/resized-head: the head has another number of outputs" in str(caught.value)
    assert "the module is as it was before this call" in str(caught.value)
    assert same(copied(model), before)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda state: {f"module.{key}": value for key, value in state.items()}, "key.removeprefix('module.')"),
        (lambda state: {"epoch": 3, "model": state}, "state = state['model']"),
    ],
)
def test_the_line_that_is_proposed_loads_the_checkpoint(change: Any, line: str) -> None:
    """A remedy that does not work costs more than none."""
    given = change(copied(net()))
    model = nn.Sequential(*[type(part)(*args) for part, args in zip(net(), [(4, 8), (8,), (), (8, 10)], strict=True)])
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(given)
    fix = next(text.strip().removeprefix("fix").strip() for text in str(caught.value).splitlines() if line in text)
    names: dict[str, Any] = {"state": given}
    exec(fix, names)
    model.load_state_dict(names["state"])
    assert same(copied(model), copied(net()))


def test_intact_itself_loads_under_a_guard_without_being_told_twice(tmp_path: Any) -> None:
    """Its trials fail on purpose, and its own report says what is to be said."""
    torch.save(nn.DataParallel(net()).state_dict(), tmp_path / "a.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = intact.load_into(net(), tmp_path / "a.pth")
    assert report.verdict == "repairable"


def test_positional_strict_and_assign_reach_torch() -> None:
    """They may be given by position."""
    state = {key: value.half() for key, value in copied(net()).items()}
    model = net()
    model.load_state_dict(state, True, True)
    assert model[0].weight.dtype == torch.float16
