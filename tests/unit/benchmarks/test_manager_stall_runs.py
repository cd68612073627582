"""The stall of a save in the background, measured at small size: the figures are there, and the record says what they are."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import manager_stall
from benchmarks.manager_stall import CLONE, FIRST, NEXT, OVER


def test_the_record_names_what_was_measured_and_the_status_follows_it(tmp_path: Path) -> None:
    """At this size the figures say nothing of the limit; which of them is held against which is the same."""
    path = tmp_path / "record.json"
    status = manager_stall.main(["--mb", "2", "--rounds", "2", "--json", str(path)])
    found = json.loads(path.read_text())
    assert list(found["runs_s"]) == [NEXT, FIRST, CLONE, OVER]
    assert all(len(runs) == 2 and min(runs) > 0 for runs in found["runs_s"].values())
    medians = found["median_s"]
    assert f"{medians[NEXT] * 1e3:,.0f} ms" in found["answer"]
    assert status == int(medians[NEXT] > manager_stall.LIMIT * medians[CLONE])
