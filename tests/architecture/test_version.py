"""The version is one."""

from __future__ import annotations

import re
from pathlib import Path

import intact
from intact.core.report import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_package_metadata_and_reports_name_one_version() -> None:
    """A report that names another version than `pip list` sends a bug to the wrong code."""
    declared = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert declared[1] == intact.__version__ == VERSION


def test_the_changelog_knows_the_version() -> None:
    """A version without an entry is a release that nobody can read about."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{VERSION}]" in text or "## [Unreleased]" in text
