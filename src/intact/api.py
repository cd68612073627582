"""The verbs. Each is a pipeline of records and does no work of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from intact.containers import open_container
from intact.core.codes import CODES
from intact.core.report import Report
from intact.errors import IntactError
from intact.reading import read_objects  # light, and so imported before a file is open: nothing is imported while one is read

if TYPE_CHECKING:
    import torch

    Model = torch.nn.Module | Callable[[], torch.nn.Module]

Path = str | os.PathLike[str]


def inspect(path: Path) -> Report:
    """Returns what a checkpoint holds, without reading tensor bytes and without torch.

    Args:
        path: File, folder or index file of any container.

    Returns:
        A report without a target: `report.found` has keys, shapes, dtypes and ties, `report.source` the container and its writer.

    Raises:
        CannotRead: It is no checkpoint that can be read; the error names what it is instead.

    Example:
        >>> report = intact.inspect("model.pth")
        >>> report.found.tensors["fc.weight"].shape
        (10, 512)
    """
    from intact.outlook import describe

    return describe(path)


def read(path: Path, *, mmap: bool = False) -> Any:
    """Returns what `torch.load` would give, from any container, with nothing run.

    Nesting and object identity are those of the file, tensors are on the CPU. Objects of other classes than tensors and plain
    data need stand in it as `intact.Foreign`, with the name, arguments and state that the file gives them.

    Args:
        path: File, folder or index file of any container.
        mmap: Whether tensors may be views of the file, which are there at once and need no memory. Do not write to the file while
            they are in use: saving over it would end the process. By default they own their memory.

    Raises:
        CannotRead: It is no checkpoint that can be read.
    """
    container = open_container(path)
    try:
        return read_objects(container, mapped=mmap)
    finally:
        container.close()


def check(path: Path, model: Model | None = None, *, at: str | None = None) -> Report:
    """Returns the report on a checkpoint, and on how it fits a model; neither is changed.

    Args:
        path: File, folder or index file of any container.
        model: The module it is meant for, or a function that builds it; None to look at the file alone.
        at: Place in the file that holds the weights (`model`, `ema`), where several fit.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read. A bad checkpoint is a result, not an error.
        ModelError: `model` is neither a module nor builds one.
    """
    from intact.examination import build, examine

    examination = examine(path, build(model) if model is not None else None, at)
    examination.close()
    return examination.report


def load_into(model: torch.nn.Module, path: Path, *, allow: Iterable[str] = (), at: str | None = None) -> Report:
    """Loads a checkpoint into a model by the loss-free plan, all or nothing, and reads back.

    Args:
        model: The module; afterwards it holds exactly the planned values, or it is bit for bit as before.
        path: File, folder or index file of any container.
        allow: Codes of lossy repairs that are meant (`arch/resized-head`).
        at: Place in the file that holds the weights, where several fit.

    Returns:
        The report of `check`.

    Raises:
        LoadRefused: Something would be lost that was not allowed, or no plan loads it; `.report` says what.
        ReadBackFailed: The model did not take the values; it was put back as it was.
    """
    from intact.examination import build, examine
    from intact.loading import load_planned
    from intact.planning import planned_values, refuse_unless_allowed

    examination = examine(path, build(model), at)
    try:
        diagnosis = refuse_unless_allowed(examination.report, examination.diagnosis, _known(allow))
        load_planned(model, planned_values(examination.open_container, diagnosis, model), diagnosis.final)
        return examination.report
    finally:
        examination.close()


def repair(
    path: Path,
    output: Path,
    model: Model,
    *,
    allow: Iterable[str] = (),
    at: str | None = None,
    format: Literal["safetensors", "torch"] | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
) -> Report:
    """Writes a corrected copy of a checkpoint that the model loads as it is; the original is not touched.

    Args:
        path: The checkpoint.
        output: The new file; written atomically, and never over the original.
        model: The module it is meant for, or a function that builds it.
        allow: Codes of lossy repairs that are meant.
        at: Place in the file that holds the weights, where several fit.
        format: `safetensors` or `torch`; by the ending of `output` where not given.
        overwrite: Whether an existing `output` may be replaced.

    Returns:
        The report on the new file, read back.

    Raises:
        LoadRefused: Something would be lost that was not allowed, or there is no plan.
    """
    from intact.examination import build, examine
    from intact.planning import planned_values, refuse_unless_allowed
    from intact.writing import write_checkpoint

    module = build(model)
    examination = examine(path, module, at)
    try:
        diagnosis = refuse_unless_allowed(examination.report, examination.diagnosis, _known(allow))
        values = planned_values(examination.open_container, diagnosis, module)
        write_checkpoint(output, values, source=path, format=format, overwrite=overwrite)
    finally:
        examination.close()
    return check(output, module)


def explain(code: str) -> str:
    """Returns the page of a code: cause, example, fix, look-alike, source.

    Args:
        code: `family/kebab-name`, as a report prints it.

    Raises:
        IntactError: There is no such code, or no page of it yet; the nearest code is named.
    """
    from intact.rules import PAGES

    (known,) = _known((code,))
    if known not in PAGES:
        raise IntactError(f"{known} has no page yet: nothing in this version reports it", code=known)
    return f"{known}: {PAGES[known].strip()}\n"


def _known(codes: Iterable[str]) -> tuple[str, ...]:
    listed = (codes,) if isinstance(codes, str) else tuple(codes)
    for code in listed:
        if code not in CODES:
            from rapidfuzz import process

            nearest = process.extractOne(code, list(CODES))
            raise IntactError(f"there is no code {code!r}", help=f"did you mean {nearest[0]}?")
    return listed
