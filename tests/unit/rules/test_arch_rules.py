"""What the rules of arch/ say of descriptions built by hand, beyond what their pages show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.rules.hands import EMBEDDING, LINEAR, codes, held, only, prefixed, said_by, told, wanted

from intact.core.description import Description, Extra, ModuleInfo
from intact.core.report import verdict_of
from intact.core.rule import Migration
from intact.repairs.drop import Drop
from intact.repairs.keep import Keep
from intact.repairs.rename import Rename
from intact.repairs.resize import Resize
from intact.repairs.tie import Tie
from intact.repairs.unnest import Unnest
from intact.rules import RULES

NET = {"conv.weight": (4, 3), "conv.bias": (4,), "fc.weight": (2, 4), "fc.bias": (2,)}
BY_CODE = {rule.code: rule for rule in RULES if rule.phase == "explain"}


def stack(depth: int, path: str = "layers", width: int = 4) -> dict[str, tuple[int, ...]]:
    """Returns so many equal layers under one path."""
    return {f"{path}.{i}.{name}": (width,) * dims for i in range(depth) for name, dims in (("weight", 2), ("bias", 1))}


def lm(rows: int, width: int = 8) -> dict[str, tuple[int, ...]]:
    """Returns embedding, a layer between, and head with bias."""
    return {"embed.weight": (rows, width), "mid.weight": (width, width), "head.weight": (rows, width), "head.bias": (rows,)}


SILENT: list[tuple[str, Description, Description]] = [
    ("arch/empty-state", held({}), Description()),
    ("arch/empty-state", held({"only.weight": (1,)}), wanted(NET)),
    ("arch/whole-model-pickle", held(("model", NET)), wanted(NET)),
    ("arch/nested-state", held(prefixed("model.", NET)), wanted(NET)),
    ("arch/key-prefix", held(("model", NET)), wanted(NET)),  # a place, not a prefix
    ("arch/key-prefix", held({"body.rdb.0.kernel": (9, 9), "body.rdb.1.kernel": (9, 9)}), wanted(NET)),
    ("arch/key-prefix", held(prefixed("module.", NET)), wanted(prefixed("module.", NET))),
    ("arch/custom-loader", held(prefixed("old.", NET)), wanted(NET)),  # no live model that could be asked
    ("arch/tied-weights", held(lm(9)), wanted(lm(9))),  # equal shapes tie nothing
    ("arch/tied-weights", held({"mid.weight": (8, 8)}), wanted(lm(9), ties=(("embed.weight", "head.weight"),))),
    ("arch/lazy-uninitialized", held({**NET, "fc.target": (2,)}), wanted(NET)),
    ("arch/non-persistent-buffer", held({**NET, "fc.mask": (2,)}), wanted(NET)),
    ("arch/class-differs", held({**NET, "fc.weight": (9, 4), "fc.bias": (9,)}), wanted(NET)),
    ("arch/class-differs", held({k: tuple(2 * n for n in s) for k, s in NET.items()}), wanted(NET)),  # every size, and every name
    ("arch/ambiguous-order", held(stack(3)), wanted(stack(3))),
    ("arch/ambiguous-order", held(stack(2)), wanted(stack(3))),
    ("arch/layer-count", held(stack(3)), wanted(stack(3))),
    ("arch/layer-count", held(stack(3, width=4)), wanted(stack(5, width=8))),  # other layers, not more of them
    ("arch/resized-vocabulary", held({"seg.weight": (3, 8)}), wanted({"seg.weight": (9, 8)})),  # a Linear
    ("arch/resized-position", held({"composer.weight": (3, 8)}), wanted({"composer.weight": (9, 8)})),
    ("arch/resized-head", held({"a.weight": (8, 4), "b.weight": (3, 8)}), wanted({"a.weight": (6, 4), "b.weight": (3, 6)})),
    ("arch/resized-input", held({"a.weight": (8, 4), "b.weight": (3, 8)}), wanted({"a.weight": (6, 4), "b.weight": (3, 6)})),
    ("arch/shape-mismatch", held({"fc.weight": (3, 4)}), wanted({"fc.weight": (9, 4)})),
    ("arch/renamed-key", held(stack(3)), wanted(stack(3))),
    ("arch/renamed-key", held({"other.kernel": (9, 9), "more.kernel": (9, 9)}), wanted(NET)),
    ("arch/transposed", held({"a.weight": (4, 8)}), wanted({"a.weight": (4, 9)})),
    ("arch/reshaped", held({"a.weight": (4, 8)}), wanted({"a.weight": (8, 4)})),
    ("arch/fused-split", held({"a.weight": (4, 8), "b.weight": (4, 8)}), wanted({"c.weight": (9, 8)})),
    ("arch/parametrization", held({"a.weight_g": (4, 1)}), wanted({"a.weight_g": (4, 1)})),
    ("arch/quantized", held({**NET, "fc.scale": (1,)}), wanted(NET)),  # a scale beside a weight of numbers
    ("arch/flattened", held({"flat_param": (12,)}), wanted({"flat_param": (12,)})),
    ("arch/flattened", held({"flat_param": (3, 4)}), wanted({"fc.weight": (3, 4)})),
    ("arch/flattened", held({"fc.weights": (12,)}), wanted({"fc.weight": (3, 4)})),
    ("arch/folded-batchnorm", held({**NET, "fc.extra.bias": (3,)}), wanted({**NET, "norm.weight": (3,), "norm.bias": (3,)})),
    ("arch/unmerged-adapter", held({**NET, "fc.lora_A.weight": (2, 9), "fc.lora_B.weight": (3, 2)}), wanted(NET)),
    ("arch/adapter-only", held({**NET, "fc.lora_A.weight": (2, 4), "fc.lora_B.weight": (3, 2)}), wanted(NET)),
    ("arch/missing-key", held({**NET, "more": (1,)}), wanted(NET)),
    ("arch/unexpected-key", held({"conv.bias": (4,)}), wanted(NET)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "found", "expected"), SILENT)
def test_a_rule_is_silent_on_what_only_resembles_its_cause(code: str, found: Description, expected: Description) -> None:
    """A cause that is named without being one sends a person the wrong way."""
    assert said_by(BY_CODE[code], found, expected) == []


@pytest.mark.parametrize("code", [code for code in BY_CODE if code.startswith("arch/")])
def test_every_rule_of_the_family_has_a_look_alike_here(code: str) -> None:
    """A new rule without one would be tested only where it is right."""
    assert code in {row[0] for row in SILENT}


# places


def test_two_places_that_fit_alike_are_both_named_and_nothing_is_chosen() -> None:
    """Generator and its twin: a guess would be wrong half of the time."""
    finding = only(held(("first", NET), ("second", NET)), wanted(NET))
    assert (finding.code, finding.ambiguous, finding.step) == ("arch/nested-state", True, None)
    assert finding.evidence["candidates"] == ["first", "second"]
    assert 'at="first"' in finding.help
    assert verdict_of([finding]) == "lossy"


@pytest.mark.parametrize("at", ["first", "second"])
def test_the_place_that_the_user_names_is_unnested(at: str) -> None:
    """The user's word ends the ambiguity."""
    finding = only(held(("first", NET), ("second", NET)), wanted(NET), at=at)
    assert isinstance(finding.step, Unnest)
    assert finding.step.at == at


def test_averaged_places_stand_behind_the_raw_one_unless_they_are_named() -> None:
    """Resuming needs the raw weights; whoever names the averages is not warned of them."""
    found = held(("model", NET), ("model_ema", NET))
    assert codes(found, wanted(NET)) == ["arch/nested-state", "state/ema-present"]
    assert codes(found, wanted(NET), at="model_ema") == ["arch/nested-state"]


def test_two_averaged_places_alone_are_an_ambiguity() -> None:
    """Passing over averages needs something raw to prefer."""
    finding = only(held(("ema_fast", NET), ("ema_slow", NET)), wanted(NET))
    assert (finding.code, finding.ambiguous) == ("arch/nested-state", True)


def test_nested_and_wrapped_are_two_findings_and_one_plan() -> None:
    """No rule knows of another, and the loop composes them."""
    diagnosis = told(held(("state_dict", prefixed("module.", NET)), ("optimizer.state", {"0.exp_avg": (4, 3)})), wanted(NET))
    assert [f.code for f in diagnosis.findings] == ["arch/nested-state", "arch/key-prefix"]
    assert diagnosis.plan.lossless
    assert set(diagnosis.final.tensors) == set(NET)


def test_a_pickled_model_is_no_mere_nesting() -> None:
    """Its class is what the user has to hear of."""
    found = held(("model", NET), modules={"model": ModuleInfo("model", "models.yolo.Model")})
    finding = only(found, wanted(NET))
    assert finding.code == "arch/whole-model-pickle"
    assert "models.yolo.Model" in finding.headline


def test_a_pickled_model_is_named_without_a_model_to_compare_with() -> None:
    """`intact check model.pt` alone has this to say."""
    found = held(("", NET), modules={"": ModuleInfo("", "net.Net"), "fc": ModuleInfo("fc", LINEAR)})
    (finding,) = said_by(BY_CODE["arch/whole-model-pickle"], found, Description(), has_model=False)
    assert (finding.evidence["at"], finding.evidence["class"]) == ("", "net.Net")


def test_an_empty_state_says_what_was_saved_instead() -> None:
    """Somebody saved the settings and not the weights."""
    finding = only(held({}, extras=(Extra("lr", "float", "0.1"), Extra("epoch", "int", "3"))), wanted(NET))
    assert finding.code == "arch/empty-state"
    assert "`lr`, `epoch`" in finding.cause
    assert len(finding.keys) == len(NET)


# prefixes


def _renamed(found: Description, expected: Description, **more: Any) -> dict[str, str]:
    finding = only(found, expected, **more)
    assert finding.code == "arch/key-prefix"
    assert isinstance(finding.step, Rename)
    return dict(finding.step.pairs)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "never.heard.of.it.", "net_"])
def test_a_prefix_on_the_files_side_is_taken_away(prefix: str) -> None:
    """It is learned from the keys, dotted or not."""
    assert _renamed(held(prefixed(prefix, NET)), wanted(NET)) == {prefix + key: key for key in NET}


@pytest.mark.parametrize("prefix", ["module.", "model.net.", "net_"])
def test_a_prefix_on_the_models_side_is_added(prefix: str) -> None:
    """The model is wrapped now and was not when it was saved."""
    assert _renamed(held(NET), wanted(prefixed(prefix, NET))) == {key: prefix + key for key in NET}


def test_wrappers_in_the_middle_of_keys_are_taken_out() -> None:
    """FSDP and activation checkpointing wrap single layers, and not all of them alike."""
    found = {
        "_fsdp_wrapped_module.conv._checkpoint_wrapped_module.weight": (4, 3),
        "_fsdp_wrapped_module.conv._checkpoint_wrapped_module.bias": (4,),
        "_fsdp_wrapped_module.fc.weight": (2, 4),
        "_fsdp_wrapped_module.fc.bias": (2,),
    }
    assert sorted(_renamed(held(found), wanted(NET)).values()) == sorted(NET)


def test_a_wrapper_that_stands_elsewhere_on_both_sides_is_followed() -> None:
    """Trained with the features wrapped, evaluated with the whole model wrapped."""
    found = {"features.module.0.weight": (4, 3), "features.module.0.bias": (4,), "fc.weight": (2, 4)}
    expected = {"module.features.0.weight": (4, 3), "module.features.0.bias": (4,), "module.fc.weight": (2, 4)}
    assert _renamed(held(found), wanted(expected))["features.module.0.weight"] == "module.features.0.weight"


def test_two_prefixes_that_fit_alike_are_left_to_the_user() -> None:
    """A student and a teacher of one class."""
    found, expected = held({**prefixed("student.", NET), **prefixed("teacher.", NET)}), wanted(NET)
    ambiguous = told(found, expected).findings[0]
    assert (ambiguous.code, ambiguous.ambiguous) == ("arch/key-prefix", True)
    assert set(ambiguous.evidence["candidates"]) == {"student.", "teacher."}
    chosen = told(found, expected, at="teacher").findings[0]
    assert isinstance(chosen.step, Rename)
    assert chosen.step.pairs[0][0].startswith("teacher.")


def test_a_prefix_that_says_average_stands_behind_the_raw_one() -> None:
    """As with places: raw weights unless the user says otherwise."""
    found, expected = held({**prefixed("net.", NET), **prefixed("net_ema.", NET)}), wanted(NET)
    first = told(found, expected).findings[0]
    assert first.evidence["removed"] == ["net."]
    named = told(found, expected, at="net_ema").findings[0]
    assert named.evidence["removed"] == ["net_ema."]


def test_a_name_in_the_place_of_another_is_no_prefix() -> None:
    """An actor's weights fit the critic in every shape, and are not the critic's."""
    body = {"body.weight": (8, 4), "body.bias": (8,)}
    found = {**body, "actor.weight": (8, 8), "actor.bias": (8,)}
    expected = {**body, "critic.weight": (8, 8), "critic.bias": (8,)}
    diagnosis = told(held(found), wanted(expected))
    assert {f.code for f in diagnosis.findings} == {"arch/renamed-key"}
    assert not diagnosis.plan.lossless  # the user has to say so


def test_a_whole_model_under_another_name_is_followed() -> None:
    """The attribute of the LightningModule was renamed from `net` to `model`, and everything moved with it."""
    assert _renamed(held(prefixed("net.", NET)), wanted(prefixed("model.", NET))) == {f"net.{k}": f"model.{k}" for k in NET}


def test_the_models_own_loading_code_is_asked_before_a_prefix_is_named() -> None:
    """What torch loads by itself is not an error, whatever the keys look like."""
    moved = Migration(True, renames={f"module.{key}": key for key in NET})
    finding = only(held(prefixed("module.", NET)), wanted(NET), migrate=lambda _: moved)
    assert (finding.code, finding.severity) == ("arch/custom-loader", "info")


def test_a_rename_by_the_models_code_that_does_not_fit_is_not_followed() -> None:
    """A hook written for another size would end in torch's error."""
    moved = Migration(False, renames={"old.weight": "fc.weight"})
    found, expected = held({"old.weight": (7, 7)}), wanted({"fc.weight": (2, 4)})
    assert said_by(BY_CODE["arch/custom-loader"], found, expected, migrate=lambda _: moved) == []


# ties

GROUP = ("a.weight", "b.weight", "c.weight")
TIED = wanted(dict.fromkeys((*GROUP, "d.weight"), (3, 3)), ties=(GROUP,))


@pytest.mark.parametrize("kept", [("a.weight",), ("b.weight",), ("a.weight", "c.weight")])
def test_a_tied_group_of_three_is_filled_from_whichever_key_is_there(kept: tuple[str, ...]) -> None:
    """Which name survives depends on the tool that wrote the file."""
    found = held(dict.fromkeys((*kept, "d.weight"), (3, 3)), ties=(kept,) if len(kept) > 1 else ())
    finding = only(found, TIED)
    assert finding.code == "arch/tied-weights"
    assert isinstance(finding.step, Tie)
    assert set(finding.keys) == set(GROUP) - set(kept)
    assert {giver for _, giver in finding.step.pairs} == {kept[0]}
    assert finding.step.lossless


def test_a_tied_group_that_is_partly_left_out_and_partly_written_twice_loses_nothing() -> None:
    """One key dropped, the other two written as copies of equal bytes."""
    found = held(dict.fromkeys(("a.weight", "b.weight", "d.weight"), (3, 3)))
    diagnosis = told(found, TIED, same_bytes=lambda a, b: True)
    assert {f.code for f in diagnosis.findings} == {"arch/tied-weights"}
    assert diagnosis.plan.lossless
    assert diagnosis.final.ties == (GROUP,)


def test_tied_keys_with_different_bytes_wait_for_the_users_word() -> None:
    """Two of three agree; dropping the third is a loss all the same."""
    found = held(dict.fromkeys((*GROUP, "d.weight"), (3, 3)))
    same = {frozenset(("a.weight", "b.weight"))}
    diagnosis = told(found, TIED, same_bytes=lambda a, b: frozenset((a, b)) in same)
    assert [(f.severity, f.keys) for f in diagnosis.findings] == [("info", ("b.weight",)), ("error", ("c.weight",))]
    assert diagnosis.plan.lossy_codes == ("arch/tied-weights",)


def test_a_tied_group_that_is_missing_altogether_is_missing() -> None:
    """There is nothing to tie to, and the kept values are not told of as a second cause."""
    finding = only(held({"d.weight": (3, 3)}), TIED)
    assert (finding.code, set(finding.keys)) == ("arch/missing-key", set(GROUP))


# numbers of layers


@pytest.mark.parametrize(("found", "expected", "step"), [(2, 5, Keep), (5, 2, Drop)])
def test_layers_of_one_make_that_are_missing_or_too_many_are_one_cause(found: int, expected: int, step: type) -> None:
    """Six missing keys are one wrong number in a configuration."""
    finding = only(held({**stack(found), "fc.weight": (2, 4)}), wanted({**stack(expected), "fc.weight": (2, 4)}))
    assert finding.code == "arch/layer-count"
    assert isinstance(finding.step, step)
    assert len(finding.keys) == 6
    assert f"`layers` has {found} and the model {expected}" in finding.headline


def test_numbered_layers_within_numbered_stages_are_counted_where_they_differ() -> None:
    """A Swin whose third stage is deeper: the stages agree, the blocks of one do not."""
    found = {**stack(2, "stages.0.blocks"), **stack(2, "stages.1.blocks")}
    expected = {**stack(2, "stages.0.blocks"), **stack(4, "stages.1.blocks")}
    finding = only(held(found), wanted(expected))
    assert finding.code == "arch/layer-count"
    assert list(finding.evidence) == ["stages.1.blocks"]


def test_a_stage_that_only_one_side_has_is_counted_once() -> None:
    """The blocks within it are no second cause."""
    found = {**stack(2, "stages.0.blocks"), **stack(2, "stages.1.blocks")}
    expected = {**found, **stack(2, "stages.2.blocks")}
    finding = only(held(found), wanted(expected))
    assert list(finding.evidence) == ["stages"]


def test_two_families_of_other_depth_are_one_finding() -> None:
    """Encoder and decoder come from one number."""
    found = {**stack(2, "encoder"), **stack(2, "decoder")}
    finding = only(held(found), wanted({**stack(3, "encoder"), **stack(3, "decoder")}))
    assert sorted(finding.evidence) == ["decoder", "encoder"]
    assert len(finding.keys) == 4


def test_a_layer_inserted_in_the_middle_is_not_placed_by_guessing() -> None:
    """Which of three equal layers is new cannot be told, and the last one moved."""
    found = {**stack(3, "net"), "net.3.weight": (2, 4), "net.3.bias": (2,)}
    expected = {**stack(4, "net"), "net.4.weight": (2, 4), "net.4.bias": (2,)}
    finding = only(held(found), wanted(expected))
    assert (finding.code, finding.ambiguous, finding.step) == ("arch/layer-count", True, None)


def test_equal_layers_under_other_numbers_are_not_mapped_by_guessing() -> None:
    """`net.2` is in the file and is another layer."""
    found = {key.replace("net.1", "net.2").replace("net.0", "net.0"): shape for key, shape in stack(2, "net").items()}
    found |= {"net.4.weight": (4, 4), "net.4.bias": (4,)}
    finding = only(held(found), wanted(stack(3, "net")))
    assert (finding.code, finding.ambiguous) == ("arch/ambiguous-order", True)


def test_the_root_has_a_name_in_headlines() -> None:
    """A Sequential has its layers at the top, where the path is empty."""
    found = {"0.weight": (4, 4), "2.weight": (4, 4), "4.weight": (4, 4)}
    finding = only(held(found), wanted({"0.weight": (4, 4), "1.weight": (4, 4), "2.weight": (4, 4)}))
    assert finding.headline.startswith("the top level has 3 layers")


# sizes


def test_several_heads_at_once_are_one_cause() -> None:
    """A detector has one classifier for each scale."""
    heads = {f"heads.{i}.{name}": (80, 8)[:dims] for i in range(3) for name, dims in (("weight", 2), ("bias", 1))}
    fresh = {key: (2, *shape[1:]) for key, shape in heads.items()}
    finding = only(held({"body.weight": (8, 8), **heads}), wanted({"body.weight": (8, 8), **fresh}))
    assert (finding.code, len(finding.keys)) == ("arch/resized-head", 6)
    assert isinstance(finding.step, Keep)


def test_two_heads_that_differ_in_number_of_outputs_are_one_cause() -> None:
    """Classes and boxes have their own sizes."""
    body = {"body.weight": (8, 8)}
    found = {**body, "cls.weight": (80, 8), "box.weight": (320, 8)}
    finding = only(held(found), wanted({**body, "cls.weight": (2, 8), "box.weight": (8, 8)}))
    assert (finding.code, len(finding.keys)) == ("arch/resized-head", 2)


@pytest.mark.parametrize("ties", [(), (("embed.weight", "head.weight"),)])
def test_a_vocabulary_takes_head_and_bias_along(ties: tuple[tuple[str, ...], ...]) -> None:
    """Embedding, head and bias change by one decision, tied or not."""
    expected = wanted(lm(90), classes={"embed": EMBEDDING}, ties=ties)
    finding = only(held(lm(92), ties=ties), expected)
    assert finding.code == "arch/resized-vocabulary"
    assert set(finding.keys) == {"embed.weight", "head.weight", "head.bias"}
    assert isinstance(finding.step, Resize)


def test_a_vocabulary_and_a_head_of_its_own_are_two_causes() -> None:
    """A classifier on a language model: tokens were added, and the classes are others."""
    found = {"embed.weight": (92, 8), "mid.weight": (8, 8), "score.weight": (5, 8)}
    expected = {"embed.weight": (90, 8), "mid.weight": (8, 8), "score.weight": (2, 8)}
    assert sorted(codes(held(found), wanted(expected, classes={"embed": EMBEDDING}))) == [
        "arch/resized-head", "arch/resized-vocabulary"
    ]  # fmt: skip


def test_positions_take_their_ids_along() -> None:
    """The buffer of position ids has the length of the table."""
    found = {"wpe.weight": (32, 8), "fc.weight": (8, 8), "attn.position_ids": (1, 32), "attn.mask": (32, 32)}
    expected = wanted(
        {"wpe.weight": (16, 8), "fc.weight": (8, 8), "attn.position_ids": (1, 16), "attn.mask": (16, 16)},
        classes={"wpe": EMBEDDING},
        buffers=("attn.position_ids", "attn.mask"),
    )
    diagnosis = told(held(found), expected)
    assert {f.code for f in diagnosis.findings} == {"arch/resized-position"}
    assert {key for f in diagnosis.findings for key in f.keys} == {"wpe.weight", "attn.position_ids", "attn.mask"}
    assert {type(step) for _, step in diagnosis.plan.steps} == {Resize, Keep}


def test_a_grid_of_positions_is_not_cut_off() -> None:
    """Only the beginning of a grid of patches would fit, and mean other places."""
    found, expected = {"pos_embed": (1, 197, 8), "fc.weight": (8, 8)}, {"pos_embed": (1, 17, 8), "fc.weight": (8, 8)}
    finding = only(held(found), wanted(expected))
    assert finding.code == "arch/resized-position"
    assert isinstance(finding.step, Keep)


def test_a_width_that_runs_through_the_model_is_neither_head_nor_input() -> None:
    """The layer that makes it and the layer that takes it change together."""
    found = {"a.weight": (8, 4), "a.bias": (8,), "b.weight": (8, 8), "b.bias": (8,), "c.weight": (2, 8), "c.bias": (2,)}
    expected = {key: tuple(16 if size == 8 else size for size in shape) for key, shape in found.items()}
    finding = only(held(found), wanted(expected))
    assert (finding.code, len(finding.keys)) == ("arch/shape-mismatch", 5)


def test_the_width_of_a_recurrent_layer_is_no_head() -> None:
    """It consumes its own rows, four gates at a time."""
    found = {"lstm.weight_ih_l0": (32, 4), "lstm.weight_hh_l0": (32, 8), "lstm.bias_ih_l0": (32,), "fc.weight": (2, 8)}
    expected = {"lstm.weight_ih_l0": (64, 4), "lstm.weight_hh_l0": (64, 16), "lstm.bias_ih_l0": (64,), "fc.weight": (2, 16)}
    diagnosis = told(held(found), wanted(expected))
    assert "arch/resized-head" not in {f.code for f in diagnosis.findings}


def test_a_normalised_width_is_no_head() -> None:
    """The scale of a normalisation goes along with the layer in front of it."""
    found = {"a.weight": (8, 4), "norm.weight": (8,), "norm.bias": (8,)}
    finding = only(held(found), wanted({"a.weight": (6, 4), "norm.weight": (6,), "norm.bias": (6,)}))
    assert finding.code == "arch/shape-mismatch"


def test_sizes_that_all_changed_are_sizes_and_not_another_model() -> None:
    """A small variant's configuration with the large variant's file: every shape differs, and every name agrees."""
    found = {f"blocks.{i}.{name}.weight": (16, 16) for i in range(4) for name in ("q", "k", "v", "o")}
    finding = only(held(found), wanted(dict.fromkeys(found, (8, 8))))
    assert finding.code == "arch/shape-mismatch"


def test_a_few_names_that_agree_by_accident_do_not_make_it_the_same_model() -> None:
    """`conv1.weight` is in every second network."""
    found = {"conv1.weight": (64, 3, 7, 7), **{f"layer{i}.w": (i, 2) for i in range(1, 12)}}
    expected = {"conv1.weight": (64, 3, 7, 7), **{f"block{i}.kernel": (i, 3) for i in range(1, 12)}}
    finding = only(held(found), wanted(expected))
    assert (finding.code, verdict_of([finding])) == ("arch/class-differs", "incompatible")


# buffers


@pytest.mark.parametrize("equal", [True, False])
def test_a_buffer_that_is_no_longer_persistent_is_dropped_freely_only_where_the_values_agree(equal: bool) -> None:
    """Other values mean another hyperparameter behind them."""
    found = held({**NET, "fc.ids": (1, 9)})
    finding = only(found, wanted(NET, absent={"fc.ids": (1, 9)}), same_values=lambda source, dtype, key: equal)
    assert finding.code == "arch/non-persistent-buffer"
    assert isinstance(finding.step, Drop)
    assert finding.step.lossless is equal


def test_buffers_with_equal_and_with_other_values_are_told_apart() -> None:
    """The harmless one must not hide the other."""
    found = held({**NET, "fc.ids": (1, 9), "fc.table": (9,)})
    expected = wanted(NET, absent={"fc.ids": (1, 9), "fc.table": (9,)})
    diagnosis = told(found, expected, same_values=lambda source, dtype, key: key == "fc.ids")
    assert {f.keys: f.evidence["same_values"] for f in diagnosis.findings} == {("fc.ids",): True, ("fc.table",): False}


def test_a_name_that_the_class_registers_late_is_registered_from_the_file() -> None:
    """The class is the evidence, not the name."""
    late = ModuleInfo("fc", "x.Loss", lazy_names=frozenset({"target"}))
    finding = only(
        held(
            {
                **NET,
                "fc.target": (2,),
            }
        ),
        wanted(NET, classes={"fc": late}),
    )
    assert (finding.code, finding.keys) == ("arch/lazy-uninitialized", ("fc.target",))


def test_missing_and_unexpected_keys_without_a_cause_are_each_named_once() -> None:
    """Whatever no rule explains is still named, with every key."""
    found = {**NET, "aux.kernel": (3, 9)}
    expected = {**NET, "gate.scale": (7,)}
    diagnosis = told(held(found), wanted(expected))
    assert {f.code: f.keys for f in diagnosis.findings} == {
        "arch/missing-key": ("gate.scale",), "arch/unexpected-key": ("aux.kernel",)
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["meta", "sparse_coo"])
def test_another_layout_is_not_told_as_another_shape_alone(layout: str) -> None:
    """ "[3, 4] in the file and [3, 4] in the model" would help nobody."""
    found = held({"fc.weight": (3, 4)})
    tensors = {key: replace(tensor, layout=layout) for key, tensor in found.tensors.items()}
    (finding,) = said_by(BY_CODE["arch/shape-mismatch"], replace(found, tensors=tensors), wanted({"fc.weight": (3, 4)}))
    assert f"`fc.weight` is {layout} [3, 4] in the file and strided [3, 4] in the model" in finding.headline
    assert layout in str(finding.examples[0])
