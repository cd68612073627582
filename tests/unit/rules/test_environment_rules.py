"""What the rules say of a recorded environment beside this one: a difference is information, and rarely more."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.rules.hands import held, said_by, told, wanted

from intact.core.environment import Distribution, Environment
from intact.core.finding import Finding
from intact.core.report import verdict_of
from intact.rules import RULES

TORCH = next(rule for rule in RULES if rule.code == "version/torch-differs")
LIBRARY = next(rule for rule in RULES if rule.code == "version/library-differs")

KEYS = {"fc.weight": (2, 4), "fc.bias": (2,)}
TIMM = Distribution("timm", "1.0.9", ("timm",), ("timm.models.resnet.ResNet",), "index")
HERE = Environment(torch="2.13.0+cpu", torch_commit="a" * 40, distributions=(TIMM,))


def findings(
    recorded: Environment, current: Environment = HERE, *, has_model: bool = True, dtype: str = "float32"
) -> list[Finding]:
    """Returns what both rules say of a file that fits."""
    given = {"environments": (recorded, current), "has_model": has_model}
    expected = wanted(KEYS, dtype=dtype) if has_model else wanted({})
    return [
        *said_by(TORCH, held(KEYS, dtype=dtype), expected, **given),
        *said_by(LIBRARY, held(KEYS, dtype=dtype), expected, **given),
    ]


def test_a_file_without_a_record_is_not_spoken_of() -> None:
    """Most files have none."""
    assert said_by(TORCH, held(KEYS), wanted(KEYS)) == []
    assert said_by(LIBRARY, held(KEYS), wanted(KEYS)) == []


def test_an_equal_environment_and_a_harmless_difference_are_not_spoken_of() -> None:
    """A healthy file on another machine stays quiet."""
    assert findings(HERE) == []
    harmless = replace(HERE, torch="2.13.1+cu128", python="3.9.1", distributions=(replace(TIMM, version="1.0.11"),))
    assert findings(harmless) == []


def test_other_releases_are_information_and_the_verdict_stays_intact() -> None:
    """The weights load all the same."""
    recorded = replace(HERE, torch="2.9.0", distributions=(replace(TIMM, version="0.9.16"),))
    told_of = told(held(KEYS), wanted(KEYS), environments=(recorded, HERE))
    assert [(f.code, f.severity) for f in told_of.findings] == [
        ("version/torch-differs", "info"),
        ("version/library-differs", "info"),
    ]
    assert verdict_of(told_of.findings) == "intact"
    assert told_of.findings[0].headline == "saved with torch 2.9.0, and this is torch 2.13.0+cpu"
    assert told_of.findings[1].headline == "saved with timm 0.9.16, and here it is 1.0.9"


def test_a_dtype_that_this_torch_does_not_have_is_a_warning() -> None:
    """Another release alone is not: only where the file holds what is not there."""
    old = replace(HERE, torch="2.0.1")
    (finding,) = findings(HERE, old, dtype="float8_e4m3fn")
    assert (finding.severity, finding.keys) == ("warning", tuple(KEYS))
    assert "float8_e4m3fn" in finding.headline
    assert [f.severity for f in findings(HERE, old)] == ["info"]
    assert [f.severity for f in findings(HERE, replace(HERE, torch="2.2.0"), dtype="float8_e4m3fn")] == ["info"]


def test_without_torch_a_file_can_still_be_looked_at() -> None:
    """Describing needs none, so that its absence is no fault of the file."""
    assert findings(HERE, replace(HERE, torch=""), has_model=False) == []


def test_a_missing_library_is_a_warning_where_the_model_has_to_come_from_it() -> None:
    """Whoever has the model at hand has its class as well."""
    without = replace(HERE, distributions=())
    (alone,) = findings(HERE, without, has_model=False)
    assert (alone.code, alone.severity) == ("version/library-differs", "warning")
    assert "`timm`" in alone.headline
    assert "timm.models.resnet.ResNet" in alone.cause
    assert [finding.severity for finding in findings(HERE, without)] == ["info"]


def test_a_missing_library_that_is_only_called_is_information() -> None:
    """The file is whole, and a rebuilt model may never call it."""
    called = replace(HERE, distributions=(replace(TIMM, classes=()),))
    assert [f.severity for f in findings(called, replace(HERE, distributions=()), has_model=False)] == ["info"]


def test_several_libraries_are_one_finding() -> None:
    """One cause, however many."""
    names = ("one", "two", "three")
    recorded = replace(HERE, distributions=tuple(replace(TIMM, name=name) for name in names))
    here = replace(HERE, distributions=tuple(replace(TIMM, name=name, version="2.0") for name in names))
    (finding,) = findings(recorded, here)
    assert finding.headline.endswith("and 2 more differ")
    assert set(finding.evidence) == set(names)
    (missing,) = findings(recorded, HERE)
    assert missing.headline == "3 libraries that classes of the model came from, `one`, `two`, `three`, are not installed here"
