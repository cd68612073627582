"""Plans in words: each kind of step, what stands in the way, and what the user's word changes."""

from __future__ import annotations

import pytest
from tests.golden import reports

from intact.core.plan import Step
from intact.renderers.plan import in_the_way, not_allowed, step_text, verdict_after
from intact.repairs import STEPS
from intact.repairs.by_name import ByName
from intact.repairs.cast import Cast
from intact.repairs.dequantize import Dequantize
from intact.repairs.drop import Drop
from intact.repairs.fill import Fill
from intact.repairs.in_part import InPart
from intact.repairs.keep import Keep
from intact.repairs.mask import Mask
from intact.repairs.merge import Merge
from intact.repairs.merge_adapter import Adapter, MergeAdapter
from intact.repairs.place import Place
from intact.repairs.rename import Rename
from intact.repairs.reshape import Reshape
from intact.repairs.resize import Resize
from intact.repairs.rewrite import Rewrite
from intact.repairs.sequence import Sequence
from intact.repairs.split import Split
from intact.repairs.tie import Tie
from intact.repairs.transpose import Transpose
from intact.repairs.unnest import Unnest
from intact.repairs.versions import Versions

SAID: list[tuple[Step, str]] = [
    (Unnest("model"), "take what stands under `model`"),
    (
        Unnest("", ("x",), module=True),
        "take the weights out of the pickled module at the top, leaving 1 tensor beside it in the file",
    ),
    (Rename((("a", "b"),)), "rename `a` to `b`"),
    (Rename((), ("y", "z")), "take the keys as they are, leaving 2 tensors of something else in the file"),
    (
        Rename((("m.a", "a"), ("m.b", "b")), ("z",)),
        "rename `m.a` to `a`, and 1 more the same way, leaving 1 tensor of something else in the file",
    ),
    (Transpose(("w", "v")), "turn 2 matrices round: `w` and 1 more"),
    (Reshape((("w", (4, 2)),)), "give 1 tensor another shape over the same elements: `w`"),
    (Merge((("qkv", ("cat", ("q", "k", "v"))),)), "put 1 tensor together from parts: `qkv`"),
    (Split((("qkv", (("q", (2,)), ("k", (2,)))),)), "take 1 tensor apart: `qkv`"),
    (Tie((("head.weight", "embed.weight"),)), "let `head.weight` be the same tensor as `embed.weight`"),
    (
        Cast((("w", "float32"), ("v", "float32")), lossless=True),
        "cast 2 tensors to float32: `w` and 1 more; every value stays the same number",
    ),
    (Place(("n",), "replace"), "put 1 tensor in place of the model's, with the dtype of the file: `n`"),
    (Place(("n",), "register"), "register 1 buffer that the model makes only when first used: `n`"),
    (Fill((("n", "int64", ()),)), "add 1 tensor of 0: `n`"),
    (Keep((("w", "float32", (2,)),)), "keep the model's own values of 1 tensor: `w`"),
    (Resize((("w", (4, 2)),)), "copy what fits of `w` into [4, 2], the rest stays as the model has it"),
    (Dequantize((("w", "w.SCB", "rows", "float32"),)), "multiply the codes of 1 tensor by their scales: `w`"),
    (MergeAdapter((Adapter("w", "a", "b", 2.0),)), "add what the adapter learned to 1 weight: `w`"),
    (
        Sequence((Rename((("a", "b"),)), Fill((("n", "int64", ()),))), lossless=False),
        "rename `a` to `b`; add 1 tensor of 0: `n`",
    ),
    (Mask((("w", "w_orig", "w_mask"),)), "multiply 1 pruned weight with what the mask leaves: `w`"),
    (Versions((("", 1), ("stem", 2))), "take the tensors for what the classes of 2 modules write as they are now"),
    (Drop(("w", "v")), "leave out 2 tensors: `w` and 1 more"),
    (Drop(("w",), lossless=True), "leave out 1 tensor: `w`, which the model has no use for"),
    (Rewrite("torch-tar"), "read the torch tar archive from before 0.1.11 without torch; tensors stay as they are"),
    (ByName("opt", (), ("w", "v")), "give 2 parameters of `opt` the state that was kept for them, by name"),
    (ByName("opt", dropped=("w", "v")), "leave out the state of 2 parameters of `opt`: `w` and 1 more"),
    (InPart("G", Rename((("a", "b"),))), "in `G`: rename `a` to `b`"),
]


@pytest.mark.parametrize(("step", "text"), SAID, ids=lambda value: value.kind if hasattr(value, "kind") else "")
def test_a_step_says_what_it_does(step: Step, text: str) -> None:
    """A plan is agreed to by people who read it."""
    assert step_text(step.to_dict()) == text


def test_every_kind_of_step_has_words() -> None:
    """A kind that goes by its bare name has been forgotten here."""
    assert {step.kind for step, _ in SAID} == set(STEPS.builtin())


def test_a_step_of_a_plugin_goes_by_its_name() -> None:
    """Nobody here knows what it does, and it is still part of the plan."""
    assert step_text({"kind": "decompress", "keys": ["a", "b"]}) == "decompress: 2 tensors"
    assert step_text({"kind": "noop\x1b"}) == "noop\\x1b"


def test_errors_without_a_step_stand_in_the_way() -> None:
    """A plan beside them would end at a model that does not load."""
    assert in_the_way(reports.incompatible()) == ("arch/missing-key", "arch/unexpected-key")
    assert in_the_way(reports.prefixed()) == ()


def test_losses_need_to_be_allowed_one_by_one() -> None:
    """Allowing a fresh head is no consent to infinities."""
    assert not_allowed(reports.resized(), ["arch/resized-head"]) == ("dtype/overflow",)


def test_what_is_allowed_is_no_longer_held_against_the_checkpoint() -> None:
    """A pipeline that fine-tunes expects the head to be fresh, and nothing else."""
    assert verdict_after(reports.resized(), ["arch/resized-head"]) == "lossy"
    assert verdict_after(reports.resized(), ["arch/resized-head", "dtype/overflow"]) == "intact"


def test_allowing_a_code_does_not_repair_what_has_no_repair() -> None:
    """`--allow` is the user's word for a loss, not a way to silence the report."""
    assert verdict_after(reports.incompatible(), ["arch/missing-key", "arch/unexpected-key"]) == "incompatible"
    assert verdict_after(reports.damaged(), ["file/truncated"]) == "damaged"
