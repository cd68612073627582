"""What is said around the findings of an audit, which looks at a live model and at no file."""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.report import Report
from intact.core.wording import count
from intact.renderers.head import labelled, tensors_text
from intact.renderers.layout import Row
from intact.renderers.words import name


def is_audit(report: Report) -> bool:
    """Whether a report is on a model alone."""
    return report.target is not None and not report.source.path and not report.source.container


def model_row(report: Report) -> Row:
    """Returns what the model is, in one line."""
    class_name = report.target.class_name if report.target is not None else ""
    return Row(tensors_text(report.found), f"{name(class_name)}: ", 2, "bold")


def meaning(report: Report) -> str:
    """Returns the verdict in words: how many things would not survive, and whether that stops a save."""
    grave = _things(report, "error")
    doubtful = _things(report, "warning")
    if not grave and not doubtful:
        return "everything that was found on the model survives a save"
    said = [f"{count(grave, 'thing')} would not survive a save"] if grave else []
    if doubtful:
        said.append(f"{count(doubtful, 'thing')}{' more' if grave else ''} may not be there after loading")
    return ", and ".join(said)


def kept(report: Report) -> str:
    """Returns the verdict on a save that was made, in words."""
    grave, doubtful = _things(report, "error"), _things(report, "warning")
    if grave:
        return f"saved, without {count(grave, 'thing')} that the save was allowed to lose"
    if doubtful:
        return f"saved, and {count(doubtful, 'thing')} may not be there after loading"
    return "everything that was found on the model was saved" if report.target is not None else "saved"


def _things(report: Report, severity: str) -> int:
    """How many paths the findings of a severity are about."""
    return sum(len(finding.evidence.get("items", ())) or 1 for finding in report.findings if finding.severity == severity)


def stop_rows(report: Report) -> Iterator[Row]:
    """Yields what a save does with this model, where it does not just save it."""
    codes = list(dict.fromkeys(finding.code for finding in report.findings if finding.severity == "error"))
    if not codes:
        return
    allow = ", ".join(f'"{code}"' for code in codes)
    yield Row()
    yield Row("stops, until the losses are allowed", "intact.save: ", 2, "bold")
    yield labelled("Python", f"intact.save(model, path, allow=[{allow}])")
