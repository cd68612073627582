"""The verbs. Each is a pipeline of records and does no work of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def check(path: Path, model: Model | Mapping[str, Any] | None = None, *, at: str | None = None) -> Report:
    """Returns the report on a checkpoint, and on how it fits a model or training state; neither is changed.

    Args:
        path: File, folder or index file of any container.
        model: The module it is meant for, or a function that builds it; None to look at the file alone. For training state a
            mapping of names to objects with `state_dict` (modules, optimizers, schedulers, `intact.rng()`) and plain values.
        at: Place in the file that holds the weights (`model`, `ema`), where several fit.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read. A bad checkpoint is a result, not an error.
        ModelError: `model` is neither a module nor builds one.
    """
    if isinstance(model, Mapping):
        from intact.training import check_training

        _refuse_place(at)
        return check_training(path, model)
    from intact.examination import build, examine
    from intact.rehearsal import rehearsed

    module = build(model) if model is not None else None
    examination = examine(path, module, at, values=True)
    try:
        return rehearsed(examination, module)
    finally:
        examination.close()


def load(
    path: Path,
    cls: type[torch.nn.Module] | None = None,
    *,
    trust: Sequence[str] = (),
    allow: Iterable[str] = (),
) -> torch.nn.Module:
    """Returns the model of a sealed checkpoint: rebuilt from the recorded arguments, loaded, and verified.

    It comes in the mode in which it was saved. What is probably not meant (a class whose source changed since) is told by a
    `CheckpointWarning`.

    Args:
        path: File, folder or index of a sealed checkpoint.
        cls: The class of the model; without one only torch's own layers, registered classes and trusted packages are used.
        trust: Names of packages whose classes may be imported because the file names them.
        allow: Codes of what may be given up while loading.

    Raises:
        LoadRefused: It is not sealed, cannot be rebuilt, or does not load; `.report` says why where there is one.
        CannotRead: It is no checkpoint that can be read.
    """
    from intact.reviving import finish, rebuilt, recorded_in

    record = recorded_in(path)
    model = rebuilt(record, cls, trust, path)
    report = load_into(model, path, allow=allow)
    finish(model, record, report)
    return model


def load_into(
    model: torch.nn.Module | Mapping[str, Any],
    path: Path,
    *,
    allow: Iterable[str] = (),
    at: str | None = None,
    plan: Path | None = None,
) -> Report:
    """Loads a checkpoint into a model, or training state into all its objects, all or nothing, and reads back.

    Args:
        model: The module; afterwards it holds exactly the planned values, or it is bit for bit as before. Or a mapping of names
            to objects with `state_dict`: each parameter of an optimizer gets the state kept for it, by name. Plain values of a
            dict (a step, say) are replaced by those of the file.
        path: File, folder or index file of any container.
        allow: Codes of lossy repairs that are meant (`arch/resized-head`).
        at: Place in the file that holds the weights, where several fit.
        plan: A plan file of `intact check --save-plan`, followed in place of the plan that would be made.

    Returns:
        The report of `check`.

    Raises:
        LoadRefused: Something would be lost that was not allowed, or no plan loads it; `.report` says what.
        ReadBackFailed: The model did not take the values; it was put back as it was.
    """
    if isinstance(model, Mapping):
        from intact.training import load_training

        _refuse_place(at)
        return load_training(model, path, _known(allow))
    from intact.examination import build, examine
    from intact.plan_files import by_plan
    from intact.planning import refuse_unless_allowed
    from intact.rehearsal import fill, rehearsed

    examination = examine(path, build(model), at)
    try:
        if plan is not None:
            examination = by_plan(examination, plan)
        diagnosis = refuse_unless_allowed(examination.report, examination.diagnosis, _known(allow))
        fill(examination, diagnosis, model)
        return rehearsed(examination, model, filled=True)
    finally:
        examination.close()


def save(
    model: torch.nn.Module | Mapping[str, Any],
    path: Path,
    *,
    allow: Iterable[str] = (),
    max_shard_bytes: int | None = None,
    overwrite: bool = True,
    durable: bool = True,
    include_source: bool = False,
    example_inputs: Any = None,
    program: bool = False,
) -> Report:
    """Writes a sealed checkpoint, whole or not at all, and returns the report of the audit before it.

    It is an ordinary safetensors file, or a set of them with an index, that every other reader opens.

    Args:
        model: The module, or a state dict. For training state a mapping of names to objects with `state_dict` and plain values,
            which are saved together in a folder.
        path: A name that ends in `.safetensors`, or a folder, in which it is called `model.safetensors`.
        allow: Codes of what the audit found and you accept to lose.
        max_shard_bytes: Most bytes of tensors in one file; a larger model becomes a set. None for one file.
        overwrite: Whether a checkpoint that stands at the path may be replaced.
        durable: Whether to wait until the disk has it; without, a power cut may take the last saves.
        include_source: Whether the source of the model's classes goes into the file too.
        example_inputs: A tuple of arguments, a dict of keyword arguments, or a pair of both: what the model does with them in
            eval mode is recorded, and `check` and `load` run them again. Without them nothing is run.
        program: Whether the model is also exported, with these inputs, as a `torch.export` program beside the checkpoint, which
            `load_program` runs without the model's class.

    Raises:
        LoadRefused: Something would not survive that was not allowed; `.report` says what. Nothing was written.
        IntactError: The model holds what the format has no form for, another process saves there, or the disk refuses.
    """
    if isinstance(model, Mapping):
        from intact.training_saving import save_if_training

        whole = {"max_shard_bytes": max_shard_bytes, "example_inputs": example_inputs}
        report = save_if_training(
            model, path, _known(allow), overwrite=overwrite, durable=durable, include_source=include_source, of_a_model=whole
        )
        if report is not None:
            return report
    from intact.sealing import save_sealed

    return save_sealed(
        model,
        path,
        _known(allow),
        max_shard_bytes=max_shard_bytes,
        overwrite=overwrite,
        durable=durable,
        include_source=include_source,
        example_inputs=example_inputs,
        program=program,
    )


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Returns the program that was saved beside a checkpoint with `program=True`, every byte of it verified.

    Args:
        path: File, folder or index of the checkpoint.

    Raises:
        LoadRefused: There is none, it is damaged, or this torch cannot load it.
    """
    from intact.reviving import verified_program

    return verified_program(path)


def audit(model: Model) -> Report:
    """Returns the report on what would not survive a save of a model; nothing is changed or written.

    It looks for layers and tensors that no module registers, tensors without values, state that is made on first use, ties and
    parametrizations that a fresh model would not have, and saving code that leaves something out. `save` does this by itself.

    Args:
        model: The module, or a function that builds it.

    Raises:
        ModelError: `model` is neither a module nor builds one, or its own `state_dict` raises.

    Example:
        >>> print(intact.audit(model))
    """
    from intact.auditing import audit as audit_model
    from intact.examination import build
    from intact.model.making.architecture import capture
    from intact.rebuildable import with_rebuilding

    module = build(model)
    captured = capture(module)
    return with_rebuilding(audit_model(module, captured), captured.architecture)


def verify(path: Path, *, expect: str | None = None) -> Report:
    """Returns whether every byte of a checkpoint is as it was sealed; nothing else is looked at.

    Args:
        path: File, folder or index of a checkpoint.
        expect: A value that is kept elsewhere (`blake3:HEX` or `sha256:HEX`) and that the whole file must have: tamper evidence.

    Raises:
        CannotRead: There is nothing at that path, or it may not be read. Damage is a result, not an error.
    """
    from intact.examination import verified_report

    return verified_report(path, expect)


def seal(path: Path, model: Model | None = None) -> Report:
    """Writes digests of an existing checkpoint, of any container, into a small file beside it.

    Args:
        path: File, folder or index; it is not touched.
        model: The module it is of, or a function that builds it, where its architecture is to be recorded too.

    Returns:
        The report of `verify`, by the new seal.

    Raises:
        CannotRead: It is no checkpoint that can be read: what is damaged is not sealed.
    """
    from intact.examination import build
    from intact.sealing import records_of, seal_beside

    seal_beside(path, records_of(build(model)) if model is not None else {})
    return verify(path)


def repair(
    path: Path,
    output: Path,
    model: Model,
    *,
    allow: Iterable[str] = (),
    at: str | None = None,
    format: Literal["safetensors", "torch"] | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
    plan: Path | None = None,
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
        plan: A plan file of `intact check --save-plan`, followed in place of the plan that would be made.

    Returns:
        The report on the new file, read back.

    Raises:
        LoadRefused: Something would be lost that was not allowed, or there is no plan.
    """
    from intact.examination import build, examine
    from intact.plan_files import by_plan
    from intact.planning import planned_values, refuse_unless_allowed
    from intact.writing import write_checkpoint

    module = build(model)
    examination = examine(path, module, at)
    try:
        if plan is not None:
            examination = by_plan(examination, plan)
        diagnosis = refuse_unless_allowed(examination.report, examination.diagnosis, _known(allow))
        values = planned_values(examination.open_container, diagnosis, module)
        versions = expected.metadata if (expected := examination.report.expected) is not None else None
        read = examination.report.source
        write_checkpoint(output, values, source=path, format=format, overwrite=overwrite, read=read, versions=versions)
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


def _refuse_place(at: str | None) -> None:
    if at is not None:
        raise IntactError("`at` names the place of a model alone", help="training state is found by the names of the mapping")
