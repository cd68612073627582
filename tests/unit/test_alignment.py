"""Which place holds the model, and which affix separates its keys: with every way to be wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from intact.alignment import find_affixes, find_place, says_averaged
from intact.core.description import Description
from intact.core.tensor import TensorInfo

MODEL = {"conv.weight": (4, 3), "conv.bias": (4,), "fc.weight": (2, 4), "fc.bias": (2,)}


def _of(keys: Mapping[str, tuple[int, ...]], nest: str = "") -> dict[str, TensorInfo]:
    front = f"{nest}." if nest else ""
    return {front + key: TensorInfo(front + key, "float32", shape, nest=nest) for key, shape in keys.items()}


def _prefixed(prefix: str, keys: dict[str, tuple[int, ...]] = MODEL) -> dict[str, tuple[int, ...]]:
    return {prefix + key: shape for key, shape in keys.items()}


EXPECTED = Description(_of(MODEL))


def test_the_place_with_the_models_keys_is_chosen_over_the_optimizers() -> None:
    """An optimizer holds tensors of the same shapes under other names."""
    moments = {f"{i}.exp_avg": shape for i, shape in enumerate(MODEL.values())}
    found = Description({**_of(moments, "optimizer.state"), **_of(MODEL, "net")})
    placing = find_place(found, EXPECTED)
    assert placing is not None
    assert placing.at == "net"


def test_the_deepest_place_is_chosen() -> None:
    """Every place above holds the same tensors too."""
    placing = find_place(Description(_of(MODEL, "runs.last.model")), EXPECTED)
    assert placing is not None
    assert placing.at == "runs.last.model"


def test_keys_that_are_dressed_up_still_point_to_their_place() -> None:
    """A wrapper's prefix inside of the place is the next question, not this one."""
    placing = find_place(Description(_of(_prefixed("module."), "state")), EXPECTED)
    assert placing is not None
    assert placing.at == "state"


def test_two_equal_places_are_left_to_the_user() -> None:
    """Neither names nor shapes tell a generator from its copy."""
    placing = find_place(Description({**_of(MODEL, "first"), **_of(MODEL, "second")}), EXPECTED)
    assert placing is not None
    assert placing.at is None
    assert placing.candidates == ("first", "second")


def test_averaged_weights_stand_behind_the_raw_ones() -> None:
    """Two sets that fit alike are told apart where one says that it is an average."""
    placing = find_place(Description({**_of(MODEL, "model"), **_of(MODEL, "model_ema")}), EXPECTED)
    assert placing is not None
    assert (placing.at, placing.averaged) == ("model", ("model_ema",))


def test_the_place_that_the_user_names_is_taken() -> None:
    """The user's word ends the question."""
    placing = find_place(Description({**_of(MODEL, "first"), **_of(MODEL, "second")}), EXPECTED, "second")
    assert placing is not None
    assert placing.at == "second"


def test_parts_in_places_of_their_own_are_one_model_together() -> None:
    """`{"encoder": …, "decoder": …}` is what a model with these two children wants, joined by dots."""
    expected = Description(_of({**_prefixed("encoder."), **_prefixed("decoder.")}))
    placing = find_place(Description({**_of(MODEL, "encoder"), **_of(MODEL, "decoder")}), expected)
    assert placing is not None
    assert placing.at == ""


@pytest.mark.parametrize("name", ["ema", "state_dict_ema", "ema_model", "swa", "model.ema.module", "avg_model"])
def test_names_of_averages_are_recognised(name: str) -> None:
    """Only such names put weights behind others."""
    assert says_averaged(name)


@pytest.mark.parametrize("name", ["model", "schema", "cinema", "average_pool", "semantic", "state_dict"])
def test_names_that_only_contain_the_letters_are_not_averages(name: str) -> None:
    """`schema` and `semantic` hold no averages."""
    assert not says_averaged(name)


@pytest.mark.parametrize("prefix", ["module.", "model.net.", "nobody.has.heard.of.it.", "net_"])
def test_any_prefix_in_front_is_found(prefix: str) -> None:
    """The prefix is learned from the keys, not from a list."""
    (affix,) = find_affixes(Description(_of(_prefixed(prefix))), EXPECTED)
    assert affix.removed == (prefix,)
    assert dict(affix.pairs) == {prefix + key: key for key in MODEL}


def test_a_prefix_on_the_models_side_is_added() -> None:
    """The model is wrapped and the file is not."""
    (affix,) = find_affixes(Description(_of(MODEL)), Description(_of(_prefixed("module."))))
    assert affix.added == ("module.",)


def test_wrappers_between_the_parts_are_taken_out() -> None:
    """FSDP and activation checkpointing leave their names in the middle of keys."""
    keys = {"_fsdp_wrapped_module.conv._checkpoint_wrapped_module.weight": (4, 3), "_fsdp_wrapped_module.fc.weight": (2, 4)}
    (affix,) = find_affixes(Description(_of(keys)), Description(_of({"conv.weight": (4, 3), "fc.weight": (2, 4)})))
    assert affix.inside
    assert affix.removed == ("_checkpoint_wrapped_module", "_fsdp_wrapped_module")


def test_a_wrapper_that_moved_is_followed() -> None:
    """Trained with the features wrapped, evaluated with all of it wrapped."""
    found = Description(_of({"conv.module.weight": (4, 3), "fc.weight": (2, 4)}))
    (affix,) = find_affixes(found, Description(_of({"module.conv.weight": (4, 3), "module.fc.weight": (2, 4)})))
    assert dict(affix.pairs)["conv.module.weight"] == "module.conv.weight"


def test_two_prefixes_that_fit_alike_are_both_returned() -> None:
    """A student and a teacher of the same class."""
    affixes = find_affixes(Description(_of({**_prefixed("student."), **_prefixed("teacher.")})), EXPECTED)
    assert {affix.removed for affix in affixes} == {("student.",), ("teacher.",)}


def test_what_is_not_under_the_prefix_is_set_aside() -> None:
    """The weights of a loss function beside the network are not the network's."""
    (affix,) = find_affixes(Description(_of({**_prefixed("model."), "loss.class_weights": (7,)})), EXPECTED)
    assert affix.aside == ("loss.class_weights",)


def test_another_model_has_no_affix() -> None:
    """A few equal last names are no reason to map anything."""
    other = {"body.0.rdb.weight": (9, 9), "body.1.rdb.weight": (9, 9), "last.weight": (1, 9)}
    assert not find_affixes(Description(_of(other)), EXPECTED)
