"""The report: verdict, findings and plan for one checkpoint, and its JSON form that other people's tools rely on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from intact.core.codes import outcome_of
from intact.core.description import Description, Source
from intact.core.finding import Finding
from intact.core.plain import json_text
from intact.core.plan import Plan
from intact.core.statistics import Statistics

SCHEMA = 1
VERSION = "0.1.0"

Verdict = Literal["intact", "suspect", "repairable", "lossy", "incompatible", "damaged", "unsafe"]
VERDICTS: tuple[Verdict, ...] = ("intact", "suspect", "repairable", "lossy", "incompatible", "damaged", "unsafe")
"""From the best to the worst; a report has the worst that any of its findings calls for."""


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Returns the worst verdict that a finding calls for; information calls for none."""
    return max((_called_for(finding) for finding in findings), key=VERDICTS.index, default="intact")


def _called_for(finding: Finding) -> Verdict:
    if finding.severity == "info":
        return "intact"
    if finding.severity == "warning":
        return "suspect"
    if finding.step is not None:
        return "repairable" if finding.step.lossless else "lossy"
    if finding.ambiguous:
        return "lossy"  # it loads once the user has chosen
    return outcome_of(finding.code)


@dataclass(frozen=True, slots=True)
class Target:
    """The model of a report.

    Attributes:
        class_name: Name of its class, without the module.
        tensors: Number of keys in its state dict.
    """

    class_name: str
    tensors: int


@dataclass(frozen=True, slots=True)
class Report:
    """What intact says of one checkpoint, and of the model it is meant for.

    Attributes:
        source: The checkpoint on disk.
        target: The model; None where none was given.
        findings: Causes, the gravest first.
        plan: What would be done to load it.
        matched_keys: Keys that load as they are, or after loss-free steps, with the file's own values.
        matched_bytes: Their bytes in the file.
        found: What the container holds.
        expected: What the model wants; None where none was given.
        saved: Whether it tells of a save that was just made, and not of a load that could be.
        values: Figures of the tensors of the file, where its values were looked at.
    """

    source: Source
    target: Target | None = None
    findings: tuple[Finding, ...] = ()
    plan: Plan = Plan()
    matched_keys: int = 0
    matched_bytes: int = 0
    found: Description = field(default_factory=Description)
    expected: Description | None = None
    saved: bool = False
    values: Mapping[str, Statistics] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict that a finding calls for."""
        return verdict_of(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain data, complete: every key that a finding is about."""
        return {
            "schema": SCHEMA,
            "intact": VERSION,
            "verdict": self.verdict,
            "source": source_to_dict(self.source, self.found),
            "target": {"class": self.target.class_name, "tensors": self.target.tensors} if self.target else None,
            "matched": {"keys": self.matched_keys, "bytes": self.matched_bytes},
            "findings": [finding_to_dict(finding) for finding in self.findings],
            "plan": self.plan.to_dict(),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """Returns the report as JSON text, in the schema that `schema` numbers."""
        return json_text(self.to_dict(), indent=indent)

    def __str__(self) -> str:
        """What the command prints, without colour."""
        from intact.renderers.text import render  # the one arrow that points up: a report prints itself

        return render(self)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def source_to_dict(source: Source, found: Description) -> dict[str, Any]:
    """Returns the head of a report as plain data."""
    writer = source.writer
    return {
        "path": source.path,
        "container": source.container,
        "bytes": source.size_bytes,
        "files": list(source.files),
        "tensors": len(found.tensors),
        "parameters": sum(tensor.elements for tensor in found.tensors.values()),
        "writer": {writer.program: writer.version} if writer.program else {},
        "integrity": {"kind": source.integrity.kind, "checked_bytes": source.integrity.checked_bytes},
    }


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """Returns one finding as plain data."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "headline": finding.headline,
        "keys": list(finding.keys),
        "key_count": len(finding.keys),
        "evidence": dict(finding.evidence),
        "examples": [{"found": e.found, "expected": e.expected} for e in finding.examples],
        "cause": finding.cause,
        "help": finding.help,
        "step": finding.step.to_dict() if finding.step else None,
    }
