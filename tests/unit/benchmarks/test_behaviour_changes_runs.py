"""The study of changes at small size: every module is named rightly, and a wrong name would be noticed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from benchmarks import behaviour_changes
from benchmarks.behaviour_changes import judged, run
from benchmarks.behaviour_families import FAMILIES, Change, Family

from intact.core.description import Source
from intact.core.finding import Finding
from intact.core.report import Report


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_sealed_and_reloaded_and_its_changes_are_named(family: Family, tmp_path: Path) -> None:
    """Real code of other people, with caches, masks, keyword arguments and nested outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts, wrong = run(family, tmp_path, family.changes[::2])
    assert wrong == []
    assert counts["named"] == counts["changes"] >= 2
    assert counts["alarms"] == 0 < counts["rewrites"]


def test_there_are_enough_families_and_changes() -> None:
    """The answer that the record gives is one about a dozen families."""
    assert len(FAMILIES) >= 12
    assert sum(len(family.changes) for family in FAMILIES) >= 60


def test_the_command_prints_its_table_and_keeps_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures in prose come from it."""
    record = tmp_path / "record.json"
    assert behaviour_changes.main(["--families", "convnext", "--json", str(record)]) == 0
    assert json.loads(record.read_text())["counts"]["all"]["named"] == 4
    assert "convnext" in capsys.readouterr().out


def test_a_wrong_place_and_silence_are_noticed() -> None:
    """A study that is content with any name would prove nothing."""
    change = Change("eps", ("layers.0.norm",))
    right = Finding("behaviour/diverges-at-module", "warning", "", evidence={"module": "layers.0.norm"})
    wrong = Finding("behaviour/diverges-at-module", "warning", "", evidence={"module": "layers.0"})
    note = Finding("arch/hyperparameter-differs", "info", "", evidence={"parts_at": "layers.0.norm"})
    assert judged(Report(Source(""), findings=(right,)), change)[0] == "named"
    assert judged(Report(Source(""), findings=(wrong, right)), change)[0] == "elsewhere"
    assert judged(Report(Source(""), findings=(note,)), change)[0] == "silent"
