"""Planned values into live models of every make: what is refused first, what arrives, and what is read back."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from intact.core.description import Description
from intact.core.tensor import Placement, TensorInfo
from intact.errors import LoadRefused, ReadBackFailed
from intact.loading import load_planned
from intact.model.entries import tensors_in
from intact.model.expectation import expect

State = dict[str, torch.Tensor]


def state_of(model: nn.Module) -> State:
    """Returns copies of the tensors of a state dict, those within its entries included."""
    return {key: value.detach().clone() for key, value in tensors_in(model.state_dict()).items()}


def described(values: State, **placements: Placement) -> Description:
    """Returns the description of planned values; keyword `a__b` places the key `a.b`."""
    where = {key.replace("__", "."): placement for key, placement in placements.items()}
    rows = ((key, str(value.dtype).removeprefix("torch."), tuple(value.shape)) for key, value in values.items())
    return Description({key: TensorInfo(key, dtype, shape, placement=where.get(key, "copy")) for key, dtype, shape in rows})


def load(model: nn.Module, values: State, **placements: Placement) -> None:
    """Loads values with these placements, `copy` where none is named."""
    load_planned(model, values, described(values, **placements))


def quietly(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Returns a builder of a model that torch calls deprecated."""

    def built() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build()

    return built


class Language(nn.Module):
    """Embedding and head tied, a recurrent layer in between, and a buffer in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.body = nn.LSTM(3, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.ones(2, dtype=torch.float16))

    def forward(self, tokens: torch.Tensor) -> Any:
        return self.head(self.body(self.embedding(tokens))[0])


class Caching(nn.Module):
    """Has an attribute that becomes a buffer when the model first runs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.cache = None
        self.register_buffer("open", None)

    @property
    def taken(self) -> int:
        return 3


class Stateful(nn.Linear):
    """Keeps a tensor of changing length as extra state."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.history = torch.zeros(1)

    def get_extra_state(self) -> torch.Tensor:
        return self.history

    def set_extra_state(self, state: Any) -> None:
        self.history = state.clone()


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(3, 4),
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
        lambda: nn.LSTM(3, 4, 2),
        lambda: nn.TransformerEncoderLayer(4, 2),
        lambda: nn.Linear(3, 3, dtype=torch.bfloat16),
        lambda: nn.Linear(3, 3, dtype=torch.complex64),
        lambda: torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        quietly(lambda: torch.nn.utils.weight_norm(nn.Linear(3, 3))),
        quietly(lambda: torch.nn.utils.spectral_norm(nn.Linear(3, 3))),
        quietly(lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear})),  # type: ignore[no-untyped-call]
        lambda: torch.compile(nn.Linear(3, 3)),
        lambda: nn.DataParallel(nn.Linear(3, 3)),
        Language,
        Stateful,
    ],
)
def test_a_model_of_any_make_holds_the_values_afterwards(build: Callable[[], nn.Module]) -> None:
    """Wrapped, tied, parametrized, recurrent or quantized: healthy models are loaded without a word."""
    torch.manual_seed(1)
    values = state_of(build())
    torch.manual_seed(2)
    model = build()
    load(model, values)
    after = tensors_in(model.state_dict())
    assert all(torch.equal(after[key], value) for key, value in values.items())


def test_the_models_own_tensors_take_the_values() -> None:
    """An optimizer holds on to the parameters that it was given."""
    model = nn.Linear(2, 2)
    weight, address, values = model.weight, model.weight.data_ptr(), state_of(nn.Linear(2, 2))
    load(model, values)
    assert model.weight is weight
    assert weight.data_ptr() == address
    values["weight"].zero_()
    assert not torch.equal(model.weight, values["weight"]), "the model does not live in the values"


def test_what_the_models_loading_code_takes_over_gets_memory_of_its_own() -> None:
    """A loader written by hand may keep the tensor that it was given, which may be a view of a file."""

    class Keeping(nn.Linear):
        def _load_from_state_dict(self, state_dict: Any, prefix: str, *_: Any) -> None:
            self.weight = nn.Parameter(state_dict[prefix + "weight"])
            self.bias = nn.Parameter(state_dict[prefix + "bias"])

    model, values = Keeping(2, 2), state_of(nn.Linear(2, 2))
    load(model, values)
    before = model.weight.detach().clone()
    values["weight"].zero_()
    assert torch.equal(model.weight, before)


def test_values_are_cast_to_the_models_dtype_bit_for_bit() -> None:
    """NaN, infinities, signed zeros and subnormal numbers included."""
    model, values = nn.Linear(2, 2).half(), state_of(nn.Linear(2, 2))
    values["weight"] = torch.tensor([[float("nan"), -0.0], [float("inf"), 6e-8]])
    load(model, values)
    assert model.weight.dtype == torch.float16
    assert torch.equal(model.weight.detach().view(torch.int16), values["weight"].half().view(torch.int16))


def test_patterns_of_nan_survive() -> None:
    """Somebody's payload is a bit like any other."""
    model = nn.Linear(1, 2, bias=False)
    values = {"weight": torch.tensor([[0x7FC01234], [-0x3FEDCC]], dtype=torch.int32).view(torch.float32)}
    load(model, values)
    assert torch.equal(model.weight.detach().view(torch.int32), values["weight"].view(torch.int32))


def test_training_mode_gradients_and_random_numbers_stay() -> None:
    """A load in the middle of a run changes values and nothing else."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    model[0].bias.requires_grad_(False)
    values = state_of(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    random = torch.get_rng_state()
    load(model, values)
    assert not any(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, False]
    assert torch.equal(random, torch.get_rng_state())


def test_a_model_on_the_meta_device_gets_memory() -> None:
    """Ties stay ties, frozen stays frozen, and the recurrent layer finds its weights."""
    source = Language()
    with torch.device("meta"):
        model = Language()
    model.body.bias_ih_l0.requires_grad_(False)
    load(model, state_of(source))
    tokens = torch.tensor([1, 2, 3])
    assert torch.equal(model(tokens), source(tokens))
    assert model.head.weight is model.embedding.weight
    assert not model.body.bias_ih_l0.requires_grad
    assert model.body.weight_ih_l0.requires_grad
    assert model.scale.dtype == torch.float16


def test_lazy_modules_take_the_shapes_of_the_values() -> None:
    """They have not decided theirs."""
    source = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).eval()
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d()).eval()
    load(model, state_of(source))
    x = torch.randn(3, 5)
    assert torch.equal(model(x), source(x))


def test_a_lazy_module_on_the_meta_device_gets_shape_and_memory() -> None:
    """Both are open at once in models that are built for a large file."""
    source, model = nn.Linear(5, 4), nn.LazyLinear(4, device="meta")
    load(model, state_of(source))
    assert torch.equal(model.state_dict()["weight"], source.weight)


def test_a_buffer_may_take_the_dtype_of_the_value() -> None:
    """Position ids that were cast to half with the whole model get their integers back."""
    model = nn.Module()
    model.register_buffer("ids", torch.arange(3000.0).half())
    load(model, {"ids": torch.arange(3000)}, ids="replace")
    assert torch.equal(model.get_buffer("ids"), torch.arange(3000))
    assert "ids" in model.state_dict()


def test_a_parameter_that_takes_another_dtype_stays_the_same_object() -> None:
    """The tie to the optimizer, and to other keys, is the object."""
    model = Language()
    weight, values = model.head.weight, state_of(Language())
    values["embedding.weight"] = values["head.weight"] = values["head.weight"].double()
    load(model, values, head__weight="replace", embedding__weight="replace")
    assert model.head.weight is model.embedding.weight is weight
    assert weight.dtype == torch.float64


def test_a_buffer_can_be_registered() -> None:
    """Where the constructor left an attribute, or a buffer, that is None."""
    model, values = Caching(), {"weight": torch.ones(2), "cache": torch.ones(3), "open": torch.zeros(1)}
    load(model, values, cache="register", open="register")
    assert list(model.state_dict()) == ["weight", "open", "cache"]
    assert torch.equal(model._buffers["cache"], values["cache"])  # type: ignore[arg-type]
    values["cache"].zero_()
    assert model.state_dict()["cache"].sum() == 3


def test_extra_state_that_is_a_tensor_goes_to_its_setter() -> None:
    """Of whatever length."""
    model, values = Stateful(), {**state_of(nn.Linear(2, 2)), "_extra_state": torch.arange(7.0)}
    load(model, values)
    assert torch.equal(model.history, torch.arange(7.0))


class Counting(nn.Linear):
    """Keeps plain data and a tensor within it as extra state."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.kept: dict[str, Any] = {"step": 0, "history": [torch.zeros(1)]}

    def get_extra_state(self) -> dict[str, Any]:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_extra_state_may_be_given_whole() -> None:
    """Plain data and tensors of any shape, in one go."""
    model, values = Counting(), state_of(nn.Linear(2, 2))
    load_planned(model, {**values, "_extra_state": {"step": 7, "history": [torch.ones(3)]}}, described(values))  # type: ignore[dict-item]
    assert model.kept["step"] == 7
    assert torch.equal(model.kept["history"][0], torch.ones(3))


def test_a_tensor_within_extra_state_goes_by_its_path() -> None:
    """What is not given stays as the model has it; what is not given at all is not touched."""
    model = Counting()
    load(model, {**state_of(nn.Linear(2, 2)), "_extra_state.history[0]": torch.ones(3)})
    assert torch.equal(model.kept["history"][0], torch.ones(3))
    assert model.kept["step"] == 0
    before = model.kept
    load(model, state_of(nn.Linear(2, 2)))
    assert model.kept is before


def test_an_entry_that_the_model_lacks_is_refused() -> None:
    """Nothing would take it."""
    with pytest.raises(LoadRefused, match="the model has no entry `_extra_state`"):
        load_planned(nn.Linear(2, 2), {**state_of(nn.Linear(2, 2)), "_extra_state": {"a": 1}}, Description())  # type: ignore[dict-item]


def test_a_quantized_layer_computes_as_its_source() -> None:
    """Its weight is packed into an object that only its own loading code can fill."""
    build = quietly(lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear}))  # type: ignore[no-untyped-call]
    source, model, x = build(), build(), torch.randn(2, 3)
    assert not torch.equal(source(x), model(x))
    load(model, state_of(source))
    assert torch.equal(source(x), model(x))


def test_versions_of_the_model_go_with_the_values() -> None:
    """Planned keys are those of today; a migration of old files must not run on them again."""
    seen = []

    class Watching(nn.BatchNorm1d):
        def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
            seen.append(local_metadata.get("version"))
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    load(Watching(2), state_of(nn.BatchNorm1d(2)))
    assert seen == [2]


def test_a_loader_with_a_signature_of_its_own_is_called_as_it_is() -> None:
    """Half of those written by hand know no `strict`."""

    class ByHand(nn.Linear):
        def load_state_dict(self, state: Any) -> None:  # type: ignore[override]
            super().load_state_dict(OrderedDict(state))

    model, values = ByHand(2, 2), state_of(nn.Linear(2, 2))
    load(model, values)
    assert torch.equal(model.weight, values["weight"])


@pytest.mark.parametrize(
    ("change", "placements", "message"),
    [
        ({"weight": torch.zeros(3, 2)}, {}, "`weight` is strided [3, 2], and the model has strided [2, 2]"),
        ({"weight": torch.zeros(2, 2).to_sparse()}, {}, "`weight` is sparse_coo"),
        ({"other": torch.zeros(2)}, {}, "the model has no tensor `other`"),
        ({"a.b": torch.zeros(2)}, {"a__b": "register"}, "the model has no module `a`"),
        ({"in_features": torch.zeros(2)}, {"in_features": "register"}, "`in_features` cannot be registered"),
        ({"forward": torch.zeros(2)}, {"forward": "register"}, "`forward` cannot be registered"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_anything_is_touched(
    change: State, placements: dict[str, Placement], message: str
) -> None:
    """A refusal costs nothing."""
    calls = []

    class Watching(nn.Linear):
        def _load_from_state_dict(self, *args: Any) -> None:
            calls.append(args)

    with pytest.raises(LoadRefused) as caught:
        load(Watching(2, 2), {**state_of(nn.Linear(2, 2)), **change}, **placements)
    assert message in caught.value.message
    assert not calls


def test_a_key_without_a_value_is_refused() -> None:
    """`strict=False` is how half of a model stays random."""
    values = state_of(nn.Linear(2, 2))
    del values["bias"]
    with pytest.raises(LoadRefused, match="there is no value for `bias`"):
        load(nn.Linear(2, 2), values)


def test_a_property_of_the_class_is_not_hidden_by_a_buffer() -> None:
    """The model's own code reads the property."""
    with pytest.raises(LoadRefused, match=r"Caching\.taken` is something else"):
        load(Caching(), {"weight": torch.ones(2), "taken": torch.ones(3)}, taken="register")


def test_two_values_for_one_tied_tensor_are_no_load() -> None:
    """The last one would win without a word."""
    values = state_of(Language())
    values["head.weight"] = values["embedding.weight"] + 1
    with pytest.raises(ReadBackFailed, match=r"embedding\.weight"):
        load(Language(), values)


def test_a_loader_that_unties_is_found() -> None:
    """Equal values are not enough: training would let them drift apart."""

    class Untying(Language):
        def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            result = super().load_state_dict(state_dict, *args, **kwargs)
            self.head.weight = nn.Parameter(self.embedding.weight.detach().clone())
            return result

    model = Untying()
    with pytest.raises(ReadBackFailed, match="one tensor no more"):
        load(model, state_of(Language()))
    assert model.head.weight is model.embedding.weight


def test_a_description_of_the_model_itself_is_a_description_to_load_by() -> None:
    """`expect` and a plan's last description are of one kind, extra entries included."""
    model, source = Language(), Language()
    final = expect(source)
    load_planned(model, state_of(source), replace(final, tensors={k: replace(t, source=k) for k, t in final.tensors.items()}))
    assert torch.equal(model.head.weight, source.head.weight)
