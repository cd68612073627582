"""Findings as SARIF 2.1.0, which code hosts show beside the files.

Source:
    OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.14 (run), 3.27 (result) and 3.29 (physical location).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from intact.core.report import Report
from intact.renderers.json import dumps

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def render(report: Report) -> str:
    """Returns a report as SARIF."""
    data = report.to_dict()
    return sarif((report.source.path, finding) for finding in data["findings"])


def sarif(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Returns findings as SARIF.

    Args:
        rows: Path of a file, and a finding as plain data, with `code`, `severity`, `headline` and `evidence`.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        release = version("intact")
    except PackageNotFoundError:
        release = "0"
    results: list[dict[str, Any]] = []
    rules: dict[str, dict[str, Any]] = {}
    for path, finding in rows:
        code = finding["code"] or "unreadable"
        rules.setdefault(code, {"id": code, "name": code.replace("/", "-"), "shortDescription": {"text": code}})
        results.append(_result(path, code, finding))
    driver = {"name": "intact", "version": release, "rules": list(rules.values())}
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]})


def _result(path: str, code: str, finding: Mapping[str, Any]) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(path.replace("\\", "/"))}}
    names = finding["evidence"].get("names")
    if isinstance(names, Mapping):
        places = [place for place in names.values() if isinstance(place, Mapping) and isinstance(place.get("position"), int)]
        if places and not places[0].get("place"):
            location["region"] = {"byteOffset": places[0]["position"], "byteLength": 1}
    return {
        "ruleId": code,
        "level": _LEVELS.get(finding["severity"], "warning"),
        "message": {"text": finding["headline"]},
        "locations": [{"physicalLocation": location}],
    }
