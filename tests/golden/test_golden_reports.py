"""Whole outputs, compared with what was recorded and reviewed: a person reads all of a report, so all of it is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import Golden
from tests.golden import reports

from intact.core.report import Report
from intact.renderers import inspection, json, text

MADE: dict[str, Callable[[], Report]] = {
    "intact-with-model": reports.intact_with_model,
    "intact-alone": reports.intact_alone,
    "prefixed": reports.prefixed,
    "resized": reports.resized,
    "incompatible": reports.incompatible,
    "damaged": reports.damaged,
    "suspect": reports.suspect,
    "hostile": reports.hostile,
}
HELD: dict[str, Callable[[], Report]] = {
    "training": reports.training,
    "pickled-model": reports.pickled_model,
    "hostile": reports.hostile,
}


@pytest.mark.parametrize("name", MADE)
def test_a_report_as_text(name: str, golden: Golden) -> None:
    """One for each verdict."""
    golden(f"report-{name}.txt", text.render(MADE[name]()))


@pytest.mark.parametrize("name", ["prefixed", "hostile"])
def test_a_report_on_a_narrow_terminal_with_colours(name: str, golden: Golden) -> None:
    """Lines are broken at 72 columns, and only labels are coloured."""
    golden(f"report-{name}-72.ansi", text.render(MADE[name](), width=72, color=True))


@pytest.mark.parametrize("name", MADE)
def test_a_report_as_json(name: str, golden: Golden) -> None:
    """Other people's programs read this."""
    golden(f"report-{name}.json", json.render(MADE[name]()))


@pytest.mark.parametrize("name", HELD)
def test_what_a_checkpoint_holds(name: str, golden: Golden) -> None:
    """What `intact inspect` prints."""
    golden(f"inspect-{name}.txt", inspection.render(HELD[name]()))
    golden(f"inspect-{name}-all.txt", inspection.render(HELD[name](), everything=True))
    golden(f"inspect-{name}-tree.txt", inspection.render(HELD[name](), tree=True, width=100))


def test_what_a_checkpoint_holds_as_json(golden: Golden) -> None:
    """The data form is complete: every key, every entry."""
    golden("inspect-training.json", json.dumps(inspection.to_dict(reports.training())))
