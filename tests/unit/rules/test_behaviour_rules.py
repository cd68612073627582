"""What rules make of a replay: which finding, how grave, and what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from intact.core.behaviour import AttributeChange, BehaviourFacts, Gap, ModeEffect, Parting, Replay, SourceChange
from intact.core.description import Description, ModuleInfo
from intact.core.finding import Finding
from intact.core.probe import Noise
from intact.core.rule import Facts
from intact.rules import RULES

GAP = Gap("logits", 0.1, 0.2, 0.3, 1e-5, "float32")
PART = Parting("layers.0.act", "m:GELU", 0.01)
DIFFERENT = Replay("different", PART, PART, (GAP,))
ROUNDING = Replay("rounding", None, PART, (GAP,))
EQUAL = Replay("equal")
EPS = AttributeChange("layers.0.act", "GELU", "eps", 1e-5, 1e-6)
FAR = AttributeChange("layers.1.norm", "Norm", "width", 1, 2, used=False)


def told(behaviour: BehaviourFacts | None) -> list[Finding]:
    """Returns what all rules say after a replay."""
    then = {"layers.0.act": ModuleInfo("layers.0.act", "m.GELU", {"eps": 1e-5})}
    now = {"layers.0.act": ModuleInfo("layers.0.act", "m.GELU", {"eps": 1e-6})}
    facts = Facts(Description(), Description(modules=now), (), Description(recorded=then), behaviour=behaviour)
    return [finding for rule in RULES if rule.phase == "replay" for finding in rule.detect(facts)]


def rows(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Returns codes and severities."""
    return [(finding.code, finding.severity) for finding in findings]


def test_nothing_is_said_where_nothing_is_known_or_nothing_differs() -> None:
    """A rule that speaks of what it was not asked is a false alarm."""
    assert told(None) == []
    assert told(BehaviourFacts()) == []
    assert told(BehaviourFacts(probed=True, replay=EQUAL)) == []
    assert told(BehaviourFacts(probed=True, replay=ROUNDING)) == []


@pytest.mark.parametrize(
    ("replay", "severity"),
    [(None, "warning"), (EQUAL, "info"), (ROUNDING, "info"), (DIFFERENT, "warning"), (Replay("raised", raised="x"), "warning")],
)
def test_a_hyperparameter_is_as_grave_as_what_it_does(replay: Replay | None, severity: str) -> None:
    """Where outputs are equal it is information; where nobody looked, the code that reads it decides."""
    found = [f for f in told(BehaviourFacts(replay=replay, attributes=(EPS,))) if f.code == "arch/hyperparameter-differs"]
    assert [finding.severity for finding in found] == [severity]
    assert "`eps` was 1e-05 and is 1e-06" in found[0].headline


def test_attributes_that_nobody_reads_are_information() -> None:
    """A counter or a note that differs is no cause, whatever the outputs are."""
    found = told(BehaviourFacts(replay=DIFFERENT, attributes=(FAR, EPS)))
    assert [(f.severity, f.evidence["changes"][0]["name"]) for f in found if f.code == "arch/hyperparameter-differs"] == [
        ("warning", "eps"),
        ("info", "width"),
    ]
    assert rows(told(BehaviourFacts(attributes=(FAR,)))) == [("arch/hyperparameter-differs", "info")]


def test_one_change_in_many_modules_is_one_line_with_all_of_them() -> None:
    """A model of a hundred layers has it a hundred times."""
    many = tuple(replace(EPS, path=f"layers.{number}.act") for number in range(100))
    (found,) = told(BehaviourFacts(attributes=many))
    assert found.headline.startswith("100 modules, as `layers.0.act` (GELU):")
    assert len(found.evidence["changes"][0]["modules"]) == 100


def test_the_module_is_named_with_what_it_was_and_what_it_is() -> None:
    """So that nobody has to look for it in two programs."""
    found = told(BehaviourFacts(probed=True, replay=DIFFERENT, attributes=(EPS,)))
    part = next(finding for finding in found if finding.code == "behaviour/diverges-at-module")
    assert part.severity == "warning"
    assert part.evidence["hyperparameters_then"] == {"eps": 1e-5}
    assert part.evidence["hyperparameters_now"] == {"eps": 1e-6}
    assert part.evidence["changed"] == {"eps": [1e-5, 1e-6]}
    assert "rtol=3.0e-01" in part.headline
    assert "behaviour/output-differs" not in {finding.code for finding in found}


def test_a_parting_that_reaches_no_output_is_information() -> None:
    """The outputs are what people use."""
    assert rows(told(BehaviourFacts(replay=Replay("rounding", PART, PART, (GAP,))))) == [("behaviour/diverges-at-module", "info")]


@pytest.mark.parametrize("place", [None, Parting("", "m:Net", 0.1, "head", "body")])
def test_a_difference_that_no_inner_module_has_is_one_of_outputs(place: Parting | None) -> None:
    """The code of the model itself calls its layers otherwise."""
    (found,) = told(BehaviourFacts(replay=Replay("different", place, place, (GAP,))))
    assert found.code == "behaviour/output-differs"
    if place is not None:
        assert "before it calls `head`" in found.headline


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        ({"attributes": (EPS,)}, "there `eps` was"),
        ({"sources": (SourceChange("m:GELU", "a", "b", ("-x", "+y")),)}, "the source of `m:GELU` changed"),
        ({"buffers": ("mask",)}, "`mask` outside of the state dict has other values"),
        ({"environment": ("torch was 2 and is 3",)}, "the environment is another: torch was 2 and is 3"),
        ({}, "the code that runs is another"),
    ],
)
def test_the_cause_is_the_nearest_thing_that_is_known_to_differ(known: dict[str, object], cause: str) -> None:
    """Another release of a library is told from another model, and both from changed code."""
    found = told(replace(BehaviourFacts(replay=DIFFERENT), **known))  # type: ignore[arg-type]
    assert cause in next(finding for finding in found if finding.code == "behaviour/diverges-at-module").cause


@pytest.mark.parametrize(("replay", "severity"), [(None, "info"), (EQUAL, "info"), (DIFFERENT, "warning")])
def test_a_source_that_changed_is_grave_only_where_the_behaviour_changed_with_it(replay: Replay | None, severity: str) -> None:
    """Most changes of a source are comments."""
    found = told(
        BehaviourFacts(replay=replay, sources=(SourceChange("m:Other", "a", "b"), SourceChange("m:GELU", "a", "b", ("+y",))))
    )
    source = next(finding for finding in found if finding.code == "arch/source-changed")
    assert source.severity == severity
    assert source.evidence["lines"] == {"m:GELU": ["+y"]}


@pytest.mark.parametrize(("replay", "severity"), [(None, "warning"), (EQUAL, "info"), (DIFFERENT, "warning")])
def test_a_table_that_came_out_otherwise_is_as_grave_as_what_it_does(replay: Replay | None, severity: str) -> None:
    """A mask that nobody uses is no loss."""
    found = told(BehaviourFacts(replay=replay, buffers=("mask",)))
    assert next(finding for finding in found if finding.code == "arch/non-persistent-buffer").severity == severity


def test_noise_is_information_at_saving_and_a_warning_afterwards() -> None:
    """Whoever saves may mean it; whoever compares has to know."""
    noise = Noise("pool", "m:Pool", 0.2)
    assert rows(told(BehaviourFacts(saving=True, noise=noise))) == [("behaviour/nondeterministic", "info")]
    (found,) = told(BehaviourFacts(replay=EQUAL, noise=noise))
    assert found.severity == "warning"
    assert "gives what was recorded" in found.cause


@pytest.mark.parametrize(
    ("mode", "codes"),
    [
        (ModeEffect(dropouts=(("drop", "Dropout"),), relative=0.5), {"behaviour/dropout-active"}),
        (ModeEffect(norms=(("norm", "BatchNorm2d"),), relative=0.5), {"behaviour/batchnorm-training"}),
        (
            ModeEffect((("drop", "Dropout"),), (("norm", "BatchNorm2d"),), (), 0.5),
            {"behaviour/dropout-active", "behaviour/batchnorm-training"},
        ),
        (ModeEffect(others=(("head", "Head"),), relative=0.5), {"state/training-mode"}),
        (ModeEffect(raised="ValueError: x"), {"state/training-mode"}),
    ],
)
def test_each_effect_of_training_mode_has_its_own_name(mode: ModeEffect, codes: set[str]) -> None:
    """The help is the same, the worry is not: one makes results random, the other makes them depend on the batch."""
    assert {finding.code for finding in told(BehaviourFacts(replay=EQUAL, mode=mode))} == codes


def test_state_that_a_run_changes_is_named() -> None:
    """The weights just loaded are overwritten by the first batch."""
    (found,) = told(BehaviourFacts(replay=EQUAL, written=("norm.scale", "norm.shift")))
    assert (found.code, found.severity, found.keys) == (
        "behaviour/forward-changes-state",
        "warning",
        ("norm.scale", "norm.shift"),
    )


@pytest.mark.parametrize(
    ("saving", "words"), [(True, "was not recorded: too large"), (False, "was recorded and not replayed: too large")]
)
def test_why_nothing_was_run_is_said(saving: bool, words: str) -> None:
    """Silence would be taken for agreement."""
    (found,) = told(BehaviourFacts(saving=saving, why_not="too large"))
    assert (found.code, found.severity) == ("behaviour/not-probed", "info")
    assert words in found.headline
