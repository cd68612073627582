"""What the rules of version/ and state/ say of descriptions built by hand, beyond what their pages show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from tests.unit.rules.hands import codes, held, only, said_by, told, wanted

from intact.core.description import Description, ModuleInfo
from intact.core.tensor import TensorInfo
from intact.repairs.drop import Drop
from intact.repairs.fill import Fill
from intact.rules import RULES

LEGACY = next(rule for rule in RULES if rule.code == "version/legacy-format")
FLAT = next(rule for rule in RULES if rule.code == "state/ema-present" and rule.phase == "explain")
NESTED = next(rule for rule in RULES if rule.code == "state/ema-present" and rule.phase == "observe")

NORM = {"bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,), "bn.running_var": (4,)}
COUNTED = {**NORM, "bn.num_batches_tracked": ()}
INSTANCE = ModuleInfo("norm", "torch.nn.modules.instancenorm.InstanceNorm2d", {"track_running_stats": False})


def test_counters_that_a_format_did_not_have_yet_are_zero() -> None:
    """They matter only with `momentum=None`."""
    finding = only(held(NORM), wanted(COUNTED, buffers=("bn.num_batches_tracked",)))
    assert (finding.code, finding.severity) == ("version/legacy-format", "info")
    assert isinstance(finding.step, Fill)


def test_a_counter_that_alone_is_missing_in_a_newer_file_is_missing() -> None:
    """A file with other counters was written by a PyTorch that keeps them: this one was lost."""
    found = {**NORM, "other.num_batches_tracked": (), "other.running_mean": (4,)}
    expected = {**COUNTED, "other.num_batches_tracked": (), "other.running_mean": (4,)}
    assert said_by(LEGACY, held(found), wanted(expected)) == []
    assert codes(held(found), wanted(expected)) == ["arch/missing-key"]


def test_a_counter_whose_layer_is_missing_altogether_is_missing_with_it() -> None:
    """A layer that is not in the file is no matter of formats."""
    assert said_by(LEGACY, held({"fc.weight": (2, 4)}), wanted({"fc.weight": (2, 4), **COUNTED})) == []


def test_statistics_that_instance_norm_never_used_are_dropped() -> None:
    """Dropping what no forward pass reads loses nothing."""
    found = {"norm.running_mean": (4,), "norm.running_var": (4,), "fc.weight": (2, 4)}
    finding = only(held(found), wanted({"fc.weight": (2, 4)}, classes={"norm": INSTANCE}))
    assert finding.code == "version/legacy-format"
    assert isinstance(finding.step, Drop)
    assert finding.step.lossless


@pytest.mark.parametrize(
    "module",
    [
        ModuleInfo("norm", INSTANCE.class_name, {"track_running_stats": True}),
        ModuleInfo("norm", "torch.nn.modules.normalization.GroupNorm"),
    ],
)
def test_statistics_of_other_layers_are_not_called_unused(module: ModuleInfo) -> None:
    """Somewhere else they were used, and dropping them changes the outputs."""
    found = {"norm.running_mean": (4,), "norm.running_var": (4,), "fc.weight": (2, 4)}
    assert said_by(LEGACY, held(found), wanted({"fc.weight": (2, 4)}, classes={"norm": module})) == []


# averages

NET = {"backbone.conv1.weight": (4, 3), "backbone.bn_1.bias": (4,), "head.weight": (2, 4)}


@pytest.mark.parametrize("prefix", ["ema_", "swa_", "model_ema_"])
def test_flat_copies_that_say_average_are_named_and_left_aside(prefix: str) -> None:
    """The raw weights stand beside them under their own names."""
    copies = {prefix + key.replace(".", "_"): shape for key, shape in NET.items()}
    finding = only(held({**NET, **copies}), wanted(NET))
    assert (finding.code, finding.severity) == ("state/ema-present", "warning")
    assert dict(finding.evidence["averages"])[f"{prefix}backbone_bn_1_bias"] == "backbone.bn_1.bias"


@pytest.mark.parametrize("prefix", ["schema_", "best_", "init_"])
def test_flat_copies_that_say_something_else_are_only_unexpected(prefix: str) -> None:
    """A name that merely ends in the same letters is no average."""
    copies = {prefix + key.replace(".", "_"): shape for key, shape in NET.items()}
    assert said_by(FLAT, held({**NET, **copies}), wanted(NET)) == []
    assert codes(held({**NET, **copies}), wanted(NET)) == ["arch/unexpected-key"]


def test_flat_averages_without_the_raw_weights_are_not_passed_over() -> None:
    """Calling them a by-product would leave nothing to load."""
    copies = {"ema_" + key.replace(".", "_"): shape for key, shape in NET.items()}
    assert said_by(FLAT, held(copies), wanted(NET)) == []


def test_averages_of_another_shape_of_model_are_not_spoken_of() -> None:
    """An average of the discriminator says nothing about the generator."""
    found = held(("generator", NET), ("discriminator_ema", {"main.0.weight": (64, 3, 4, 4)}))
    assert codes(found, wanted(NET)) == ["arch/nested-state"]


def test_averages_that_are_part_of_the_model_are_no_by_product() -> None:
    """A mean teacher wants both."""
    both = {**{f"student.{k}": s for k, s in NET.items()}, **{f"ema_teacher.{k}": s for k, s in NET.items()}}
    assert not told(held(both), wanted(both)).findings


def test_a_file_without_places_has_no_averaged_place() -> None:
    """Observing is for nested checkpoints."""
    assert said_by(NESTED, held({"ema.weight": (2,), "fc.weight": (2,)}), wanted({"fc.weight": (2,)})) == []


NEXT: dict[str, tuple[int, ...]] = {"a.weight": (3, 2), "a.bias": (3,), "b.weight": (2, 3), "b.bias": (2,)}


def listed(place: str, shapes: Iterable[tuple[int, ...]]) -> tuple[str, dict[str, tuple[int, ...]]]:
    """A list of tensors under a place, as descriptions name them."""
    return place, {f"[{number}]": shape for number, shape in enumerate(shapes)}


def holding(*lists: tuple[str, dict[str, tuple[int, ...]]]) -> Description:
    """The model's weights under `model`, and lists beside them."""
    found = held(("model", NEXT))
    tensors = dict(found.tensors)
    for place, shapes in lists:
        for name, shape in shapes.items():
            tensors[place + name] = TensorInfo(place + name, "float32", shape, nest=place, source=place + name)
    return replace(found, tensors=tensors)


@pytest.mark.parametrize("place", ["ema.shadow_params", "ema_params", "model_ema[1]"])
def test_a_list_of_averages_in_the_order_of_the_parameters_is_named(place: str) -> None:
    """Libraries of moving averages keep them without names."""
    (finding,) = said_by(NESTED, holding(listed(place, NEXT.values())), wanted(NEXT))
    assert f"a list under `{place}`" in finding.headline
    assert len(finding.keys) == 4


@pytest.mark.parametrize(
    "found",
    [
        holding(listed("grads", NEXT.values())),
        holding(listed("ema.shadow_params", list(NEXT.values())[::-1])),
        holding(listed("ema.shadow_params", list(NEXT.values())[:3])),
        holding(listed("ema.decays", [()])),
    ],
)
def test_other_lists_are_no_averages_of_the_parameters(found: Description) -> None:
    """Without the name, or without every shape in its order, nothing is said."""
    assert said_by(NESTED, found, wanted(NEXT)) == []
