"""What a model's own loading code makes of a checkpoint, tried without memory and without touching the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from intact.core.description import Description
from intact.core.tensor import TensorInfo
from intact.model.expectation import expect
from intact.model.migration import migrate, without_memory


class Renaming(nn.Module):
    """Takes `gamma` of its older versions as `scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if prefix + "gamma" in state_dict:
            state_dict[prefix + "scale"] = state_dict.pop(prefix + "gamma")
        super()._load_from_state_dict(state_dict, prefix, *args)


class Copying(nn.Linear):
    """Copies by hand, in a `load_state_dict` with a signature of its own."""

    def load_state_dict(self, state: Any) -> None:  # type: ignore[override]
        with torch.no_grad():
            self.weight.data.copy_(state["w"])
            self.bias = nn.Parameter(state["b"])


class Meddling(nn.Linear):
    """A hook that reaches the original model through a closure."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.runs: list[int] = []

        def hook(*_: Any) -> None:
            self.runs.append(1)
            self.register_buffer("extra", torch.rand(1))

        self.register_load_state_dict_pre_hook(hook)  # type: ignore[no-untyped-call]


def found_as(description: Description, names: dict[str, str]) -> Description:
    """Returns a description with other keys."""
    rows = [(names.get(key, key), tensor) for key, tensor in description.tensors.items()]
    return replace(description, tensors={key: replace(tensor, key=key) for key, tensor in rows})


def old_weight_norm() -> nn.Module:
    """Returns a layer in the style whose keys are `weight_g` and `weight_v`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer: nn.Module = torch.nn.utils.weight_norm(nn.Linear(3, 3))
    return layer


def new_weight_norm() -> nn.Module:
    """Returns a layer in the style of parametrizations."""
    layer: nn.Module = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    return layer


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(3, 4),
        lambda: nn.LSTM(3, 4, 2),
        lambda: nn.MultiheadAttention(4, 2),
        lambda: torch.nn.utils.spectral_norm(nn.Linear(3, 3)),
        lambda: torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        old_weight_norm,
        new_weight_norm,
        lambda: torch.compile(nn.Linear(2, 2)),
        lambda: nn.DataParallel(nn.Linear(2, 2)),
        lambda: nn.Linear(2, 2, device="meta"),
    ],
)
def test_a_model_accepts_its_own_keys(build: Callable[[], nn.Module]) -> None:
    """Whatever it is wrapped in or parametrized with."""
    model = build()
    assert migrate(model, expect(model)).accepted


def test_keys_that_hooks_rename_are_followed() -> None:
    """The rename becomes a step of the plan, with the model's own word for it."""
    model = nn.Sequential(Renaming())
    migration = migrate(model, found_as(expect(model), {"0.scale": "0.gamma"}))
    assert migration.accepted
    assert migration.renames == {"0.gamma": "0.scale"}


def test_weight_norm_takes_its_older_keys_and_not_the_other_way_round() -> None:
    """torch registers a hook for one direction only."""
    forth, back = migrate(new_weight_norm(), expect(old_weight_norm())), migrate(old_weight_norm(), expect(new_weight_norm()))
    assert forth.accepted
    assert forth.renames == {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    assert not back.accepted
    assert back.missing == ("weight_g", "weight_v")
    assert back.renames == {}


def test_a_loader_that_copies_by_hand_is_followed_too() -> None:
    """Tensors are followed, not names: through `copy_` and into new parameters."""
    migration = migrate(Copying(2, 2), found_as(expect(nn.Linear(2, 2)), {"weight": "w", "bias": "b"}))
    assert migration.renames == {"w": "weight", "b": "bias"}


@pytest.mark.parametrize(("versions", "accepted"), [({}, True), ({"": 1}, True), ({"": 2}, False)])
def test_batch_norm_fills_its_counter_for_old_versions_only(versions: dict[str, int], accepted: bool) -> None:
    """The version in the file decides, and a file that lost it counts as old."""
    model = nn.BatchNorm1d(3)
    whole = expect(model)
    kept = {key: tensor for key, tensor in whole.tensors.items() if key != "num_batches_tracked"}
    migration = migrate(model, replace(whole, tensors=kept, metadata=versions))
    assert migration.accepted is accepted
    assert migration.missing == (() if accepted else ("num_batches_tracked",))


def test_lazy_modules_take_the_shapes_of_the_file() -> None:
    """Nothing is missing and nothing is wrong: the shapes were open."""
    lazy, built = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d()), nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    assert migrate(lazy, expect(built)).accepted
    assert expect(lazy).tensors["0.weight"].lazy, "the model itself stays as it was"


def test_a_wrong_shape_is_the_reason_and_renames_are_still_followed() -> None:
    """One resized layer must not hide what the hooks do elsewhere."""
    model = Renaming()
    found = found_as(expect(model), {"scale": "gamma"})
    wrong = replace(found.tensors["fc.weight"], shape=(9, 3))
    migration = migrate(model, replace(found, tensors={**found.tensors, "fc.weight": wrong}))
    assert not migration.accepted
    assert "size mismatch for fc.weight" in migration.reason
    assert migration.renames == {"gamma": "scale"}


def test_extra_state_of_the_file_is_not_called_missing() -> None:
    """It is no tensor, and its value is not needed to tell where the tensors go."""

    class Stateful(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

        def set_extra_state(self, state: object) -> None:
            raise RuntimeError("must not be called with a placeholder")

    model = Stateful(2, 2)
    assert migrate(model, expect(model)).accepted
    assert migrate(model, replace(expect(model), extra_state=())).missing == ("_extra_state",)


@pytest.mark.parametrize("shape", [(2**62, 2**62), (-1,), (2**70,)])
def test_shapes_that_no_tensor_can_have_are_left_out(shape: tuple[int, ...]) -> None:
    """They come from a file."""
    found = Description({"weight": TensorInfo("weight", "float32", shape), "bias": TensorInfo("bias", "no_such_dtype", (2,))})
    assert migrate(nn.Linear(2, 2), found).missing == ("weight", "bias")


@pytest.mark.parametrize("error", [ValueError("boom"), RecursionError("deep"), AssertionError()])
def test_a_loader_that_raises_is_a_reason_and_no_exception(error: Exception) -> None:
    """The report goes on; the load would have failed in the same way."""

    class Raising(nn.Linear):
        def _load_from_state_dict(self, *args: Any) -> None:
            raise error

    model = Raising(2, 2)
    migration = migrate(model, expect(model))
    assert not migration.accepted
    assert migration.reason


def test_a_model_that_cannot_be_copied_is_a_reason_and_no_exception() -> None:
    """Open files and locks are attributes of real models."""

    class Uncopyable(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("cannot pickle a lock")

    model = Uncopyable(2, 2)
    assert migrate(model, expect(model)).reason == "TypeError: cannot pickle a lock"


def test_what_hooks_do_to_the_model_itself_is_put_back() -> None:
    """A closure may reach the original past the copy; a check still changes nothing, not even the random numbers."""
    model = Meddling()
    before, random = expect(model), torch.get_rng_state()
    migrate(model, before)
    assert expect(model) == before
    assert model.runs == []
    assert torch.equal(random, torch.get_rng_state())


def test_the_copy_has_no_memory_and_keeps_ties_classes_and_gradients() -> None:
    """A model of a hundred gigabytes is copied in no time."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.LazyLinear(3), nn.BatchNorm1d(2))
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    twin = without_memory(model)
    assert all(tensor.is_meta for tensor in twin.state_dict(keep_vars=True).values())
    assert expect(twin).ties == expect(model).ties
    assert isinstance(twin[2].weight, nn.UninitializedParameter)  # type: ignore[index]
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
