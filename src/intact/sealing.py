"""A live model as a sealed checkpoint: what it is, holds, and would lose, all decided before a byte is written."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from intact.containers.safetensors_header import format_dtypes
from intact.containers.sealed import Entry
from intact.containers.sealed_writing import SUFFIX, Row, program_name, split, write_file, write_set
from intact.core.collecting import collector_paused
from intact.core.description import Integrity, Source, Writer
from intact.core.manifest import VERSION, Manifest, Program
from intact.core.report import VERSION as RELEASE
from intact.core.report import Report
from intact.errors import IntactError, LoadRefused
from intact.files.digests import ALGORITHM, digests_of
from intact.model.contents import Contents, contents_of, piece_of
from intact.rebuildable import with_rebuilding

if TYPE_CHECKING:
    import torch

    from intact.core.architecture import Architecture

NAME = "model" + SUFFIX
"""What the checkpoint is called in a folder."""


def target_of(path: str | os.PathLike[str]) -> Path:
    """Returns the file that a save to a path writes: the path itself, or `model.safetensors` in the folder that it names.

    Raises:
        IntactError: The name promises another format.
    """
    target = Path(path)
    if target.is_dir() or os.fspath(path).endswith(("/", os.sep)) or not target.suffix:
        return target / NAME
    if target.suffix.lower() not in (SUFFIX, ".sft", ".st"):
        raise IntactError(
            f"a sealed checkpoint is a safetensors file, and the name ends in {target.suffix}",
            path=str(target),
            help=f"name it {target.with_suffix(SUFFIX)}",
        )
    return target


@collector_paused()
def save_sealed(
    model: torch.nn.Module | Mapping[str, Any],
    path: str | os.PathLike[str],
    allow: Iterable[str] = (),
    *,
    max_shard_bytes: int | None = None,
    overwrite: bool = True,
    durable: bool = True,
    include_source: bool = False,
    example_inputs: Any = None,
    program: bool = False,
) -> Report:
    """Writes a sealed checkpoint and returns the report of the audit before it.

    Raises:
        LoadRefused: Something would not survive that was not allowed.
        IntactError: See `intact.save`.
    """
    import torch

    target = target_of(path)
    module = model if isinstance(model, torch.nn.Module) else None
    report, records, left_out = audited(module, allow, include_source=include_source) if module is not None else (None, {}, ())
    if example_inputs is not None:
        report, records["probe"] = probed(module, report, example_inputs)
    code = _exported(module, example_inputs) if program else b""
    contents = contents_of(model, left_out)
    written = write(
        target, contents, records, max_shard_bytes=max_shard_bytes, overwrite=overwrite, durable=durable, program=code
    )
    return report_on(written, report)


def _exported(module: torch.nn.Module | None, example_inputs: Any) -> bytes:
    from intact.model.program import exported

    if module is None:
        raise IntactError("a state dict has no program", help="save the module itself")
    return exported(module, example_inputs)


def probed(module: torch.nn.Module | None, report: Report | None, example_inputs: Any) -> tuple[Report, str]:
    """Returns the report with what is to be said of a model's behaviour, and the record of it; "" where it cannot be recorded.

    Raises:
        IntactError: There is no model to run.
    """
    from intact.core.behaviour import BehaviourFacts
    from intact.core.rule import Facts
    from intact.model.replay.probing import probe
    from intact.rehearsal import told, with_findings

    if module is None or report is None:
        raise IntactError("example inputs need a model to run, and a state dict is none", help="save the module itself")
    made = probe(module, example_inputs)
    behaviour = BehaviourFacts(saving=True, probed=bool(made.text), why_not=made.why_not, noise=made.noise)
    facts = Facts(report.found, report.found, (), report.found, behaviour=behaviour)
    return with_findings(report, told(facts)), made.text


def audited(
    module: torch.nn.Module, allow: Iterable[str], *, include_source: bool
) -> tuple[Report, dict[str, str], tuple[str, ...]]:
    """Returns the audit of a model, its records, and the keys that are left out by the user's word.

    Raises:
        LoadRefused: Something would not survive that was not allowed.
    """
    from intact.auditing import audit
    from intact.model.making.architecture import capture

    captured = capture(module, include_source=include_source)
    report = with_rebuilding(audit(module, captured), captured.architecture)
    _refuse_unless_allowed(report, allow)
    left_out = tuple(key for _, step in report.plan.steps for key in getattr(step, "keys", ()))
    return report, _records(captured.architecture, module), left_out


def records_of(module: torch.nn.Module) -> dict[str, str]:
    """Returns the architecture of a model and the environment, as text."""
    from intact.model.making.architecture import capture

    return _records(capture(module).architecture, module)


def _records(architecture: Architecture, module: torch.nn.Module) -> dict[str, str]:
    from intact.model.surroundings.environment import capture_environment

    return {"architecture": architecture.to_json(), "environment": capture_environment(module).to_json()}


def _refuse_unless_allowed(report: Report, allow: Iterable[str]) -> None:
    allowed = set(allow)
    refused = [f.code for f in report.findings if f.severity == "error" and f.code not in allowed]
    if refused:
        codes = list(dict.fromkeys(refused))
        raise LoadRefused(
            f"the model would not survive being saved ({', '.join(codes)}); nothing was written",
            report=report,
            help=f"repair what the audit names; if its loss is meant: allow={codes!r}",
        )


def manifest_of(contents: Contents, stored: Sequence[str], records: Mapping[str, str]) -> Manifest:
    """Returns what a checkpoint records of a model.

    Args:
        contents: What is saved.
        stored: Keys with bytes, in the order in which they are written.
        records: Architecture, environment and probe, as text.
    """
    place = {key: number for number, key in enumerate(contents.keys)}
    aliases = [key for group in contents.ties for key in group[1:]]
    order = tuple(place[key] for key in (*stored, *aliases))
    has_modules = bool(records.get("architecture"))
    return Manifest(
        version=VERSION,
        save=secrets.token_hex(16),
        writer=f"intact {RELEASE}",
        created=_now(),
        ties=contents.ties,
        order=() if order == tuple(range(len(order))) else order,
        **(asdict(contents.mode) if contents.mode is not None else {}),
        versions={path: version for path, version in contents.versions.items() if version != 1 or not has_modules},
        modules=has_modules and bool(contents.versions),
        absent=contents.absent,
        entries=dict(contents.entries),
        architecture=records.get("architecture", ""),
        environment=records.get("environment", ""),
        probe=records.get("probe", ""),
    )


def rows_of(tensors: Mapping[str, torch.Tensor]) -> list[Row]:
    """Returns tensors in the order in which they are written: by the width of their elements, so that all are aligned."""
    import torch

    names = {getattr(torch, dtype): name for dtype, name in format_dtypes().items() if hasattr(torch, dtype)}
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())  # stable: otherwise as in the state dict
    return [Row(_entry(key, tensor, names), piece_of(tensor)) for key, tensor in ordered]


def _entry(key: str, tensor: torch.Tensor, names: Mapping[torch.dtype, str]) -> Entry:
    return Entry(key, names[tensor.dtype], tuple(tensor.shape), tensor.nbytes)


def write(
    target: Path,
    contents: Contents,
    records: Mapping[str, str],
    *,
    max_shard_bytes: int | None = None,
    overwrite: bool = True,
    durable: bool = True,
    program: bytes = b"",
) -> Path:
    """Writes contents as a sealed file or set, and returns the path that opens it.

    Args:
        target: The file.
        contents: What is saved.
        records: Architecture, environment and probe, as text.
        max_shard_bytes: Most bytes of tensors in one file; None for one file.
        overwrite: Whether a checkpoint that stands there may be replaced.
        durable: Whether to wait until the disk has it.
        program: A program that is written beside it, where there is one.

    Raises:
        IntactError: The path is taken, another writer holds it, or the system refuses.
    """
    rows = rows_of(contents.tensors)
    shards = split(rows, max_shard_bytes) if max_shard_bytes else [rows]
    manifest = manifest_of(contents, [row.entry.key for rows in shards for row in rows], records)
    if target.name == NAME and not target.parent.exists():
        target.parent.mkdir(parents=True)
    if program:
        manifest = msgspec.structs.replace(manifest, program=_named(target, manifest, program))
    if len(shards) > 1:
        return write_set(target, shards, manifest, overwrite=overwrite, durable=durable, program=program)
    write_file(target, rows, manifest, overwrite=overwrite, durable=durable, program=program)
    return target


def _named(target: Path, manifest: Manifest, program: bytes) -> Program:
    digests = digests_of(memoryview(program), manifest.chunk_bytes)
    return Program(program_name(target, manifest.save), len(program), base64.b64encode(digests).decode())


def report_on(target: Path, report: Report | None) -> Report:
    """Returns the report of the audit, with the checkpoint that was written as its source."""
    files: tuple[str, ...] = (target.name,)
    size = target.stat().st_size
    if target.name.endswith(".json"):
        from intact.outlook import describe

        source = describe(target).source
        files, size = source.files, source.size_bytes
    source = Source(
        os.fspath(target),
        "sharded" if len(files) > 1 else "safetensors",
        size,
        files,
        Writer("intact", RELEASE),
        Integrity(ALGORITHM),
    )
    if report is None:
        return Report(source, saved=True)
    return replace(report, source=source, saved=True)


def seal_beside(path: str | os.PathLike[str], records: Mapping[str, str]) -> Path:
    """Writes the seal of an existing checkpoint beside it, and returns where it is; the checkpoint itself is not touched.

    Args:
        path: File, folder or index of any container.
        records: Architecture and environment, as text, where they are known.

    Raises:
        CannotRead: It is no checkpoint that can be read: what is damaged is not sealed.
        IntactError: The system refuses.
    """
    from contextlib import closing

    from intact.containers import open_container
    from intact.containers.sidecar import Sidecar, beside, sealed_files, sidecar_bytes
    from intact.files.atomic import write_atomically

    with closing(open_container(path)) as container:
        container.describe()
        source = container.source
        place = Path(source.path)
        files = sealed_files(place.parent, source.files)
    sidecar = Sidecar(
        VERSION,
        secrets.token_hex(16),
        dict(files),
        f"intact {RELEASE}",
        _now(),
        container=source.container,
        architecture=records.get("architecture", ""),
        environment=records.get("environment", ""),
    )
    content = sidecar_bytes(sidecar)
    write_atomically(beside(place), lambda draft: _filled(draft, content), overwrite=True)
    return beside(place)


def _filled(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
