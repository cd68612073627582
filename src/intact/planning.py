"""From a diagnosis to the values that a model is to hold, or to the refusal that says why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from intact.core.container import Container
from intact.core.report import Report
from intact.diagnosis import Diagnosis
from intact.errors import LoadRefused

if TYPE_CHECKING:
    import torch


def refuse_unless_allowed(report: Report, diagnosis: Diagnosis | None, allow: Iterable[str]) -> Diagnosis:
    """Returns the diagnosis, where its plan may be carried out.

    Args:
        report: What the user is told on refusal.
        diagnosis: None where the checkpoint could not be opened.
        allow: Codes whose losses the user accepts.

    Raises:
        LoadRefused: The checkpoint cannot be read, differences stay open, or a loss was not allowed.
    """
    path = report.source.path
    if diagnosis is None:
        raise LoadRefused(f"the checkpoint is {report.verdict}; nothing was changed", path=path, report=report)
    stuck = [f.code for f in diagnosis.findings if f.severity == "error" and f.step is None]
    if stuck or diagnosis.open:
        raise LoadRefused("no plan loads this checkpoint; nothing was changed", path=path, report=report)
    allowed = set(allow)
    refused = [code for code in diagnosis.plan.lossy_codes if code not in allowed]
    if refused:
        raise LoadRefused(
            f"loading would lose something that was not allowed ({', '.join(refused)}); nothing was changed",
            path=path,
            report=report,
            help=f"if that is meant: allow={refused!r}",
        )
    return diagnosis


def planned_values(container: Container, diagnosis: Diagnosis, model: torch.nn.Module) -> Mapping[str, Any]:
    """Returns the values that the plan ends with, by key of the model; views of the file where nothing changed them.

    Only tensors that end in the model are read.
    """
    from intact.reading import read_values

    wanted = {tensor.source for tensor in diagnosis.final.tensors.values() if tensor.source}
    keys = [key for key in container.describe().tensors if key in wanted]
    return diagnosis.plan.perform(read_values(container, keys), _state(model))


def _state(model: torch.nn.Module) -> dict[str, Any]:
    return dict(model.state_dict())
