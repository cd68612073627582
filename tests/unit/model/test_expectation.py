"""What a live model wants, seen through wrappers, ties, lazy modules and state dicts written by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.counting import growth
from torch import nn

from intact.core.description import Description
from intact.errors import ModelError
from intact.model.expectation import expect, tensor_bytes


class Tied(nn.Module):
    """A language model in miniature: the head shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool), persistent=False)
        self.register_buffer("scale", torch.ones(()))


class Stateful(nn.Module):
    """A module with extra state, of a kind that the test chooses."""

    def __init__(self, state: object) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.state = state

    def get_extra_state(self) -> object:
        return self.state

    def set_extra_state(self, state: object) -> None:
        self.state = state


def keys(description: Description) -> list[str]:
    """Returns the keys, in order."""
    return list(description.tensors)


def test_keys_are_those_of_the_state_dict_in_its_order() -> None:
    """Comparing with a file is comparing with what torch itself would write."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 2))
    assert keys(expect(model)) == list(model.state_dict())


def test_a_tensor_is_told_with_dtype_shape_role_and_device() -> None:
    """Buffers may be repaired in ways that parameters may not."""
    found = expect(nn.BatchNorm1d(4).half()).tensors
    assert (found["weight"].dtype, found["weight"].shape, found["weight"].role) == ("float16", (4,), "parameter")
    assert (found["num_batches_tracked"].dtype, found["num_batches_tracked"].role) == ("int64", "buffer")
    assert found["weight"].device == "cpu"
    assert found["weight"].source == ""


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_keys_are_one_group_on_any_device(device: str) -> None:
    """On the meta device there are no addresses, and a tie is a tie all the same."""
    with torch.device(device):
        description = expect(Tied())
    assert description.ties == (("embedding.weight", "head.weight"),)


def test_a_view_of_the_same_memory_in_another_shape_is_no_tie() -> None:
    """Two heads that are halves of one storage are two tensors."""
    model, base = nn.Module(), torch.zeros(4, 4)
    model.register_buffer("first", base)
    model.register_buffer("upper", base[:2])
    model.register_buffer("again", base.view(4, 4))
    assert expect(model).ties == (("first", "again"),)


def test_empty_tensors_are_never_tied() -> None:
    """They all have the address zero."""
    model = nn.Module()
    model.register_buffer("a", torch.zeros(0))
    model.register_buffer("b", torch.zeros(0))
    assert expect(model).ties == ()


def test_a_module_under_two_names_is_listed_under_both() -> None:
    """Both keys are in the state dict, so both need a module."""
    model = nn.Module()
    model.first = nn.Linear(2, 2)
    model.second = model.first
    description = expect(model)
    assert description.ties == (("first.weight", "second.weight"), ("first.bias", "second.bias"))
    assert set(description.modules) == {"", "first", "second"}
    assert description.modules[""].children == ("first", "second")


def test_modules_tell_class_children_and_plain_attributes() -> None:
    """Children without tensors count: an activation in the middle decides how layers are numbered."""
    description = expect(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4)))
    assert description.modules[""].children == ("0", "1", "2")
    assert description.modules["1"].class_name == "torch.nn.modules.activation.ReLU"
    assert description.modules["2"].hyperparameters["eps"] == 1e-05
    assert description.modules["2"].hyperparameters["normalized_shape"] == (4,)


def test_a_buffer_that_is_not_persistent_is_absent() -> None:
    """A file that holds it all the same was written by an older version of the class."""
    description = expect(Tied())
    assert list(description.absent) == ["mask"]
    assert "mask" not in description.tensors


def test_versions_are_taken_from_the_metadata() -> None:
    """BatchNorm fills its counter for versions before 2, and so must whoever predicts it."""
    assert expect(nn.Sequential(nn.BatchNorm1d(2))).metadata == {"": 1, "0": 2}


def test_a_lazy_tensor_has_no_shape_yet() -> None:
    """It takes whatever the file has, and no shape of a file is wrong for it."""
    found = expect(nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())).tensors
    assert found["0.weight"].lazy
    assert found["0.weight"].shape == ()
    assert found["1.running_mean"].lazy
    assert found["1.running_mean"].role == "buffer"
    assert not found["1.num_batches_tracked"].lazy


def test_wrappers_show_in_the_keys_and_in_the_modules() -> None:
    """`_orig_mod.` and `module.` are what the file then lacks."""
    compiled, parallel = expect(torch.compile(nn.Linear(2, 2))), expect(nn.DataParallel(nn.Linear(2, 2)))  # type: ignore[arg-type]
    assert keys(compiled) == ["_orig_mod.weight", "_orig_mod.bias"]
    assert keys(parallel) == ["module.weight", "module.bias"]
    assert compiled.tensors["_orig_mod.weight"].role == "parameter"
    assert set(parallel.modules) == {"", "module"}


def test_extra_state_is_named_and_no_tensor_is_expected_for_it() -> None:
    """It goes to `set_extra_state` and never into memory of the model."""
    plain, tensor = expect(Stateful({"step": 3})), expect(Stateful(torch.zeros(7)))
    assert plain.extra_state == tensor.extra_state == ("_extra_state",)
    assert keys(plain) == ["weight"]
    assert tensor.tensors["_extra_state"].lazy, "an extra state takes the shape of the file"


def test_entries_that_are_no_tensors_are_extras() -> None:
    """A state dict written by hand may hold a step count."""

    class ByHand(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
            return {**super().state_dict(*args, **kwargs), "step": 7, "name": "net", "kind": torch.float16}

    extras = expect(ByHand(2, 2)).extras
    assert [(extra.path, extra.kind, extra.text) for extra in extras] == [
        ("step", "int", "7"),
        ("name", "str", "'net'"),
        ("kind", "dtype", "torch.float16"),
    ]


def test_a_state_dict_without_arguments_is_called_without_arguments() -> None:
    """Half of those written by hand take none."""

    class ByHand(nn.Linear):
        def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
            return {"w": self.weight.detach()}

    assert expect(ByHand(2, 3)).tensors["w"].shape == (3, 2)


def test_a_state_dict_that_raises_is_the_models_fault() -> None:
    """The user hears of the class and of what it raised, and sees no traceback of ours."""

    class Broken(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
            raise ValueError("not yet built")

    with pytest.raises(ModelError, match=r"Broken\.state_dict.*ValueError: not yet built"):
        expect(Broken(2, 2))


def test_a_state_dict_that_is_no_mapping_is_refused() -> None:
    """A list of tensors has no keys to compare."""

    class Listing(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return [self.weight]

    with pytest.raises(ModelError, match="returns a list"):
        expect(Listing(2, 2))


def test_a_module_that_contains_itself_does_not_hang() -> None:
    """torch itself recurses until it fails; we say so."""
    model = nn.Linear(2, 2)
    model.add_module("again", model)
    with pytest.raises(ModelError, match="RecursionError"):
        expect(model)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions.*:UserWarning")
def test_dynamically_quantized_modules_are_described() -> None:
    """Their state dict holds packed objects beside two tensors."""
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear})  # type: ignore[no-untyped-call]
    description = expect(model)
    packed = "0._packed_params._packed_params"
    assert set(description.tensors) == {"0.scale", "0.zero_point", f"{packed}[0]", f"{packed}[1]"}
    assert (description.tensors[f"{packed}[0]"].dtype, description.tensors[f"{packed}[0]"].layout) == ("qint8", "quantized")
    assert {extra.path for extra in description.extras} == {"0._packed_params.dtype", "0._packed_params._packed_params"}


def test_looking_changes_neither_the_model_nor_the_random_numbers() -> None:
    """A check before a run must leave the run reproducible."""
    model = nn.Sequential(nn.LazyLinear(3), nn.Dropout(), nn.BatchNorm1d(3))
    random, attributes = torch.get_rng_state(), [dict(module.__dict__) for module in model.modules()]
    expect(model)
    assert torch.equal(random, torch.get_rng_state())
    assert all(
        before.keys() == module.__dict__.keys() and all(before[name] is module.__dict__[name] for name in before)
        for before, module in zip(attributes, model.modules(), strict=True)
    )


def test_the_bytes_of_a_tensor_are_those_of_its_values_in_c_order() -> None:
    """A transposed weight is compared with the file's contiguous one."""
    model = nn.Linear(2, 3)
    model.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3).t())
    held = tensor_bytes(model, "weight")
    assert held is not None
    assert held.tobytes() == torch.arange(6.0).reshape(2, 3).t().contiguous().numpy().tobytes()


def test_the_bytes_of_buffers_scalars_and_small_types_can_be_had() -> None:
    """Buffers that are not persistent are compared with what older files hold."""
    model = Tied().bfloat16()
    mask, scale = tensor_bytes(model, "mask"), tensor_bytes(model, "scale")
    assert mask is not None
    assert scale is not None
    assert (mask.tolist(), scale.tobytes()) == ([1, 1], b"\x80\x3f")


@pytest.mark.parametrize("key", ["nothing", "no.such.module", ""])
def test_there_are_no_bytes_of_what_is_not_there(key: str) -> None:
    """The question comes from a file, which may name anything."""
    assert tensor_bytes(nn.Linear(2, 2), key) is None


def test_there_are_no_bytes_without_memory() -> None:
    """Neither a meta tensor nor a lazy one can equal anything."""
    assert tensor_bytes(nn.Linear(2, 2, device="meta"), "weight") is None
    assert tensor_bytes(nn.LazyLinear(2), "weight") is None


def test_the_work_of_describing_grows_with_the_number_of_keys() -> None:
    """A check must not be felt beside a load, however many layers there are."""

    def layers(count: int) -> nn.Module:
        return nn.ModuleList(nn.ModuleList([nn.Linear(2, 2), nn.BatchNorm1d(2)]) for _ in range(count))

    models = {count: layers(count) for count in (40, 160)}
    assert len(expect(models[160]).tensors) == 160 * 7
    assert growth(lambda count: expect(models[count]), 40) < 5
