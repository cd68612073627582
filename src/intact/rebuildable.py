"""Whether a model can be built again from what a save records of it, as one finding of the audit.

It is information: the weights are saved whole, and whoever has the code loads them. But `intact.load` will refuse, and that is
said when the model is saved and not on the day when it is needed.
"""

from __future__ import annotations

from dataclasses import replace

from intact.core.architecture import Architecture
from intact.core.finding import Finding
from intact.core.report import Report

CODE = "arch/not-rebuildable"


def with_rebuilding(report: Report, architecture: Architecture) -> Report:
    """Returns a report that says, where it is so, that the model cannot be built again from its record."""
    constructor = architecture.constructor
    if constructor.proved and not constructor.uncaptured:
        return report
    name = architecture.class_name.rpartition(":")[2].rpartition(".")[2]
    missing = "; ".join(f"argument `{argument}`: {reason}" for argument, reason in constructor.uncaptured[:3])
    reason = missing or constructor.reason or "its constructor's arguments were not found"
    finding = Finding(
        CODE,
        "info",
        f"`{name}` cannot be built again from the checkpoint alone: {reason}",
        evidence={
            "class": architecture.class_name,
            "uncaptured": dict(constructor.uncaptured),
            "reason": constructor.reason,
        },
        cause="an argument of its constructor left no trace that can be written down, or the model was changed afterwards",
        help=f"decorate the class with @intact.recorded, or keep the arguments as attributes; intact.load_into(model, path) works"
        f" for a `{name}` that you build yourself",
    )
    return replace(report, findings=(*report.findings, finding))
