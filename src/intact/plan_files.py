"""A plan as a file: written by a check, read and perhaps edited by a person, and applied to what it was made for alone.

What a plan was made for is told by structure: keys, shapes and dtypes of the checkpoint and of the model. It may be bound to one
checkpoint, too, by the digest of its file. A file that fits neither is refused before anything is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from intact.comparison import compare
from intact.core.description import Description
from intact.core.plain import json_text
from intact.core.plan import Plan
from intact.core.report import Report
from intact.core.wording import count
from intact.diagnosis import Diagnosis
from intact.errors import IntactError, LoadRefused
from intact.examination import Examination
from intact.files.atomic import write_atomically
from intact.pinning import pinned_value
from intact.repairs import plan_from_dict

SCHEMA = 1
LIMIT_BYTES = 1 << 28
_STAYS = ("file/", "safety/", "version/", "value/")
"""Families of findings that a plan of another hand does not answer: damage stays damage."""


def structure_of(description: Description) -> str:
    """Returns a digest of the keys of a description with their dtypes and shapes, in any order."""
    lines = sorted(f"{key}\0{t.dtype}\0{','.join(map(str, t.shape))}\0{t.layout}" for key, t in description.tensors.items())
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def save_plan(report: Report, path: str | os.PathLike[str], *, exact: bool = False, overwrite: bool = False) -> None:
    """Writes the plan of a report as a file.

    Args:
        report: Of `intact.check`, with a model.
        path: The new file.
        exact: Whether it is for this one checkpoint, by the digest of its file, and not for all of its structure.
        overwrite: Whether an existing file may be replaced.

    Raises:
        IntactError: The report is without a model, or the file exists or cannot be written.
    """
    if report.expected is None:
        raise IntactError("a plan needs a model: nothing is to be done to a checkpoint alone", help="name it with --model")
    plain = {
        "schema": SCHEMA,
        "kind": "intact plan",
        "checkpoint": {
            "name": os.path.basename(report.source.path),
            "container": report.source.container,
            "tensors": len(report.found.tensors),
            "structure": structure_of(report.found),
            "digest": pinned_value(report.source) if exact else None,
        },
        "model": {
            "class": report.target.class_name if report.target else "",
            "tensors": len(report.expected.tensors),
            "structure": structure_of(report.expected),
        },
        **report.plan.to_dict(),
    }
    text = json_text(plain, indent=2) + "\n"
    write_atomically(Path(path), lambda draft: _fill(draft, text), overwrite=overwrite)


def _fill(draft: Path, text: str) -> None:
    draft.write_text(text, encoding="utf-8")


def read_plan(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Returns what a plan file says, checked for its form.

    Raises:
        IntactError: It is no plan, or of a later version.
    """
    try:
        if os.stat(path).st_size > LIMIT_BYTES:
            raise IntactError(f"plan: more than {LIMIT_BYTES:,} bytes", path=str(path))
        data = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise IntactError(f"plan: cannot be read: {error.strerror or error}", path=str(path)) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntactError(f"plan: it is no JSON: {error}", path=str(path)) from None
    if not isinstance(data, dict) or data.get("kind") != "intact plan":
        raise IntactError("plan: it is no plan of intact", path=str(path), help="intact check FILE --model … --save-plan PLAN")
    if data.get("schema") != SCHEMA:
        raise IntactError(f"plan: it is of version {data.get('schema')!r}, and this intact knows {SCHEMA}", path=str(path))
    return data


def by_plan(examination: Examination, path: str | os.PathLike[str]) -> Examination:
    """Returns an examination whose plan is that of a file, in place of the one that was found.

    Args:
        examination: Of a checkpoint and a model.
        path: The plan file.

    Raises:
        IntactError: The file is no plan.
        LoadRefused: It was made for another checkpoint or model, or does not arrive at what the model wants.
    """
    data = read_plan(path)
    report = examination.report
    if report.expected is None or examination.diagnosis is None:
        return examination
    _refuse_other(data, report, path)
    plan = plan_from_dict(data)
    found = examination.open_container.describe()
    final = _predicted(plan, found, path)
    left = [difference for difference in compare(final, report.expected) if difference.kind != "tie"]
    if left:
        raise LoadRefused(
            f"the plan does not arrive at what the model wants: {count(len(left), 'difference')}, first {left[0].kind} "
            f"`{left[0].key}`",
            path=str(path),
            report=report,
            help="make the plan anew with intact check --save-plan, and edit less of it",
        )
    kept = tuple(finding for finding in report.findings if finding.code.startswith(_STAYS))
    rewritten = replace(report, findings=kept, plan=plan)
    return replace(examination, report=rewritten, diagnosis=Diagnosis((), plan, final, ()), verified=False)


def _predicted(plan: Plan, found: Description, path: str | os.PathLike[str]) -> Description:
    try:
        return plan.predict(found)
    except (KeyError, ValueError, IndexError) as error:
        raise LoadRefused(f"the plan speaks of what the checkpoint does not have: {error}", path=str(path)) from error


def _refuse_other(data: Mapping[str, Any], report: Report, path: str | os.PathLike[str]) -> None:
    assert report.expected is not None
    for side, description in (("checkpoint", report.found), ("model", report.expected)):
        said = data.get(side)
        if not isinstance(said, dict) or said.get("structure") != structure_of(description):
            raise LoadRefused(
                f"the plan was made for another {side}: one with other keys, shapes or dtypes",
                path=str(path),
                report=report,
                help="make a plan for this one: intact check FILE --model … --save-plan PLAN",
            )
    digest = data["checkpoint"].get("digest")
    if digest is not None and digest != pinned_value(report.source):
        raise LoadRefused(
            "the plan was made for one checkpoint, by its digest, and this is another", path=str(path), report=report
        )
