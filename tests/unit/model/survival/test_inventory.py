"""What is found on a live model, what is not, and how sure it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from tests.unit.model import faulty_models as faulty
from tests.unit.model.faulty_models import used
from torch import nn
from torch.nn.utils import prune

from intact.core.inventory import Item
from intact.model.survival.inventory import take_inventory


def found(model: nn.Module) -> dict[str, tuple[str, str]]:
    """Returns path to kind and grade of everything that is more than a note."""
    return {item.path: (item.kind, item.grade) for item in take_inventory(model).items if item.grade != "noted"}


def only(model: nn.Module, kind: str) -> Item:
    """Returns the one item of a kind."""
    (item,) = (item for item in take_inventory(model).items if item.kind == kind)
    return item


def test_layers_in_lists_and_mappings_are_found_under_the_path_that_leads_to_them() -> None:
    """The path is what the user types; other names for registered layers and layers without tensors lose nothing."""
    items = take_inventory(faulty.InLists()).items
    assert [(item.path, item.kind, item.grade) for item in items] == [
        ("convs[0]", "module", "lost"),
        ("convs[1]", "module", "lost"),
        ("heads.en", "module", "lost"),
        ("heads.deep.er[0]", "module", "lost"),
    ]
    assert items[0].keys == ("convs[0].weight", "convs[0].bias")
    assert items[0].size_bytes == 40


def test_layers_in_objects_sets_functions_and_classes_are_found() -> None:
    """Where a layer hides makes no difference to what is lost."""
    assert set(found(faulty.InObjects())) == {"holder.net", "bag[0]", "call.hidden", "shared"}


def test_a_layer_within_an_unregistered_layer_is_part_of_it() -> None:
    """The list of a layer in a list is lost as well, and it is one cause."""
    outer = nn.Module()
    outer.layers = [faulty.InLists()]  # type: ignore[assignment]
    item = only(outer, "module")
    assert item.path == "layers[0]"
    assert {"layers[0].body.weight", "layers[0].convs[0].weight"} <= set(item.keys)


def test_a_frozen_layer_in_a_list_may_come_from_elsewhere() -> None:
    """People hide a frozen teacher in a list on purpose."""
    model = nn.Linear(2, 2)
    model.teacher = [nn.Linear(2, 2).requires_grad_(False)]  # type: ignore[assignment]
    assert found(model) == {"teacher[0]": ("module", "doubtful")}


def test_a_way_back_to_the_root_is_no_loss_and_no_circle() -> None:
    """Trainers and parents are kept in attributes, and hold the model again."""
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].parent = [model]  # type: ignore[assignment]
    loop: list[object] = [model]
    loop.append(loop)
    model.loop = loop  # type: ignore[assignment]
    assert found(model) == {}


def test_loose_parameters_are_lost_whatever_the_source_says() -> None:
    """What an optimizer could move is learned."""
    assert found(faulty.LooseParameters()) == {"scales[0]": ("tensor", "lost"), "shift": ("tensor", "lost")}


def test_what_the_constructor_draws_is_lost_and_what_it_computes_is_not() -> None:
    """Through local names, other attributes and helpers; a generator with a seed of its own gives the same each time."""
    assert found(faulty.Random()) == {
        "order": ("tensor", "lost"),
        "inverse": ("tensor", "lost"),
        "table": ("array", "lost"),
        "helped": ("tensor", "lost"),
        "numbers": ("numbers", "lost"),
        "projection": ("buffer", "lost"),
    }


def test_what_is_gathered_from_the_data_and_used_is_lost() -> None:
    """A counter that nothing reads is left out on purpose."""
    assert found(used(faulty.Gathering())) == {"usage": ("buffer", "lost"), "mean": ("tensor", "lost")}


def test_an_average_that_an_object_keeps_is_lost() -> None:
    """The class of the object says that it is learned; the model's own class says nothing."""
    assert found(used(faulty.Averaging())) == {"average.shadow.weight": ("tensor", "lost")}
    assert only(faulty.Averaging(), "tensor").keys == ("average.shadow.weight", "average.shadow.bias")


def test_what_the_first_batch_sets_is_lost_and_what_every_batch_sets_is_not() -> None:
    """A cache, the last output and a hidden state are nobody's state."""
    assert found(used(faulty.FirstBatch())) == {"mean": ("tensor", "lost")}


@pytest.mark.parametrize(
    ("build", "path", "key"), [(faulty.ActNorm, "initialized", "loc"), (faulty.FirstTime, "first", "linear.weight")]
)
def test_a_flag_that_lets_forward_write_weights_is_told_after_it_was_used(
    build: Callable[[], nn.Module], path: str, key: str
) -> None:
    """Before, nothing is lost: a note says what will happen."""
    assert found(build()) == {}
    assert only(build(), "flag").grade == "noted"
    item = only(used(build()), "flag")
    assert (item.path, item.grade) == (path, "doubtful")
    assert key in item.keys


def test_state_that_comes_with_the_first_batch_is_told() -> None:
    """The file has keys that a fresh model does not know."""
    assert found(used(faulty.Late())) == {
        "base": ("late", "doubtful"),
        "weight": ("late", "doubtful"),
        "projection": ("late", "doubtful"),
    }


def test_what_a_method_or_somebody_else_sets_is_doubtful() -> None:
    """Whoever loads may call the method again, or not."""
    assert found(faulty.Fitted().fit(torch.ones(4, 3))) == {"mean": ("tensor", "doubtful")}
    model = faulty.Plain()
    model.weights = torch.tensor([1.0, 2.0])
    assert found(model) == {"weights": ("tensor", "doubtful")}


def test_tensors_without_values_are_told_apart() -> None:
    """Meta tensors, lazy layers and placeholders of ZeRO have nothing to save; a tensor that is empty on purpose has."""
    with torch.device("meta"):
        assert found(nn.Linear(2, 2)) == {"weight": ("meta", "lost"), "bias": ("meta", "lost")}
    assert found(nn.LazyLinear(2)) == {"weight": ("lazy", "lost"), "bias": ("lazy", "lost")}
    model = nn.Linear(2, 2)
    model.weight.data, model.bias.data = torch.empty(0), torch.empty(0)
    assert found(model) == {"weight": ("placeholder", "lost")}
    model.bias.ds_shape = torch.Size([2])  # type: ignore[attr-defined]
    assert found(model) == {"weight": ("placeholder", "lost"), "bias": ("placeholder", "lost")}
    assert found(nn.Embedding(0, 2)) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_nan_is_read_from_the_first_element_in_every_dtype(dtype: torch.dtype) -> None:
    """The element is read as bits; an infinity beside it is no nan."""
    model = nn.Linear(2, 2).to(dtype)
    model.weight.data.fill_(float("inf"))
    assert found(model) == {}
    model.weight.data.fill_(float("nan"))
    model.bias.data[0] = float("nan")
    assert found(model) == {"weight": ("nan", "lost"), "bias": ("nan", "doubtful")}


def test_a_buffer_that_begins_as_nan_says_none_yet() -> None:
    """A sentinel that the constructor writes is no divergence."""

    class Sentinel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("best", torch.full((3,), float("nan")))

    assert found(Sentinel()) == {}


def test_saving_and_loading_by_hand_is_tried() -> None:
    """Other names and copies are no loss; what is left out, or not taken back, is."""
    assert found(faulty.LeavesOut()) == {"left.weight": ("dropped", "lost"), "left.bias": ("dropped", "lost")}
    assert found(faulty.TakesHalf()) == {"left.weight": ("ignored", "lost"), "left.bias": ("ignored", "lost")}
    assert found(faulty.RenamesItsKeys()) == {}
    assert "_extra_state" in only(faulty.GivesExtra(), "ignored").evidence


def test_trying_the_loading_code_changes_nothing() -> None:
    """It runs on a copy, and no random number is used up."""
    model = faulty.TakesHalf()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    take_inventory(model)
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_broken_tie_is_told_by_the_source_and_graded_by_the_values() -> None:
    """A model that was never tied, because it was not asked for, has no tie to break."""
    model = faulty.Tied()
    model.head.weight = nn.Parameter(model.embed.weight.detach().clone())
    assert found(model) == {"head.weight": ("untied", "doubtful")}
    model.head.weight.data.add_(1)
    assert found(model) == {"head.weight": ("untied", "lost")}
    assert found(faulty.Tied()) == {}
    assert found(faulty.Tied(tie=False)) == {}


def test_parametrizations_are_told_where_no_class_mentions_them() -> None:
    """Pruning and norms of a finished model; a class that makes them itself has them in every object."""
    model = faulty.Plain()
    prune.l1_unstructured(model.linear, "weight", 0.5)  # type: ignore[no-untyped-call]
    assert only(model, "parametrization").keys == ("linear.weight_orig", "linear.weight_mask")
    model = faulty.Plain()
    torch.nn.utils.parametrizations.spectral_norm(model.linear)
    assert only(model, "parametrization").grade == "doubtful"

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))

    assert take_inventory(Normed()).items == ()


def test_memory_that_is_shared_in_part_is_told_and_flattened_weights_are_not() -> None:
    """Neighbours in one storage share nothing; interleaved columns share nothing either."""
    base, model = torch.zeros(10), nn.Module()
    model.one, model.other = nn.Parameter(base[:6]), nn.Parameter(base[4:])
    assert found(model) == {"other": ("overlap", "doubtful")}
    model.one, model.other = nn.Parameter(base[:5]), nn.Parameter(base[5:])
    assert found(model) == {}
    model.one, model.other = nn.Parameter(base.view(5, 2)[:, 0]), nn.Parameter(base.view(5, 2)[:, 1])
    assert found(model) == {}
    assert found(nn.LSTM(3, 3, 2)) == {}


def quantized() -> nn.Module:
    """Returns layers whose weights are packed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            nn.Sequential(nn.Linear(3, 3)), {nn.Linear}, dtype=torch.qint8
        )
        return model


def lazy_done() -> nn.Module:
    """Returns layers that were lazy."""
    return used(nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()))


HEALTHY: dict[str, Callable[[], nn.Module]] = {
    "saved flag": lambda: used(faulty.SavedFlag()),
    "metric": faulty.Metric,
    "caches": lambda: used(faulty.Caching()),
    "constants": faulty.Plain,
    "shared layer": faulty.TwoSides,
    "rnn": lambda: nn.GRU(3, 3, 2, bidirectional=True),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
    "quantized": quantized,
    "lazy done": lazy_done,
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)),
    "data parallel": lambda: nn.DataParallel(faulty.Plain()),
    "batch norm": lambda: used(nn.BatchNorm1d(3)),
    "parameter list": lambda: nn.ParameterList([nn.Parameter(torch.ones(2))]),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_hears_nothing(name: str) -> None:
    """A false alarm before every save is switched off, and with it all others."""
    assert found(HEALTHY[name]()) == {}


def test_the_search_ends_in_a_large_buffer_of_tensors() -> None:
    """A replay memory must not turn a save into a search."""
    model = nn.Linear(2, 2)
    model.memory = [[torch.zeros(1)] * 3 for _ in range(20_000)]  # type: ignore[assignment]
    assert found(model) == {"memory[0][0]": ("tensor", "doubtful")}
    assert len(only(model, "tensor").tensors) <= 50_000
