"""Failures that real people met: the verdict, the causes, the names, and the repaired values bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.incidents.harness import case_paths, disagreements, loaded, name_of, shortfalls
from tests.incidents.not_yet import NOT_YET


def marked(path: Path) -> object:
    """Returns the case as a parameter, expected to fail where it stands on the list."""
    reason = NOT_YET.get(name_of(path))
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(path, id=name_of(path), marks=marks)


@pytest.mark.parametrize("path", [marked(path) for path in case_paths()])
def test_intact_gets_the_incident_right(path: Path, tmp_path: Path) -> None:
    """Somebody lost time, or weights, to it."""
    with loaded(path) as case:
        assert shortfalls(case, tmp_path) == []


def test_the_list_of_what_is_not_right_yet_names_cases_that_exist() -> None:
    """A case that was renamed would otherwise be expected to pass, or be forgotten."""
    assert set(NOT_YET) <= {name_of(path) for path in case_paths()}
    assert all(len(reason) > 10 for reason in NOT_YET.values())


@pytest.mark.parametrize("path", case_paths(), ids=name_of)
def test_a_case_says_what_it_expects_and_where_it_is_from(path: Path) -> None:
    """Without a source it is an invention, and without an expectation it asserts nothing."""
    with loaded(path) as case:
        assert case.EXPECT["verdict"]
        if path.stem.startswith("control_"):
            assert "intact" in case.EXPECT["verdict"]
            assert case.EXPECT["codes"] == []
        else:
            assert "Source:" in (case.__doc__ or "")
            assert case.EXPECT["codes"]


def test_the_harness_notices_each_kind_of_shortfall() -> None:
    """A harness that is content with anything would pass every case."""
    expect = {"verdict": ["repairable"], "codes": [["arch/key-prefix"]], "names": ["module."], "forbid": ["arch/missing-key"]}
    right = {"verdict": "repairable", "findings": [{"code": "arch/key-prefix", "headline": "starts with `module.`"}]}
    wrong = {"verdict": "intact", "findings": [{"code": "arch/missing-key", "headline": ""}]}
    assert disagreements(expect, right) == []
    assert len(disagreements(expect, wrong)) == 4
