"""Runs one incident case against intact and says what falls short; nothing here knows any single case."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import intact

CASES = Path(__file__).resolve().parent / "cases"
LOADS = {"intact", "suspect", "repairable"}
VERBS_OF = {
    "save": ("audit",),
    "behaviour": ("save", "check"),
    "load": ("check", "load_into"),
    "resume": ("save", "check", "load_into"),
}


def case_paths() -> list[Path]:
    """Returns the files of all cases."""
    return sorted(CASES.glob("*/*.py"))


def name_of(path: Path) -> str:
    """Returns `family/name`."""
    return f"{path.parent.name}/{path.stem}"


@contextmanager
def loaded(path: Path) -> Iterator[ModuleType]:
    """Gives the case as a module, importable by its name as long as it runs, so that its classes can be pickled."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    case = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = case
    try:
        spec.loader.exec_module(case)
        yield case
    finally:
        sys.modules.pop(path.stem, None)
        logging.disable(logging.NOTSET)  # some cases silence what torch logs while they save


def shortfalls(case: ModuleType, folder: Path) -> list[str]:
    """Returns what intact does not get right of a case, each in a line; empty where all is right."""
    kind = getattr(case, "KIND", "load")
    absent = [verb for verb in VERBS_OF[kind] if verb not in intact.__all__]
    if absent:
        return [f"there is no intact.{absent[0]}"]
    if kind == "resume":
        return of_resume(case, folder)
    report, wrong = {"save": of_save, "behaviour": of_behaviour, "load": of_load}[kind](case, folder)
    return [*wrong, *disagreements(case.EXPECT, report)]


def of_resume(case: ModuleType, folder: Path) -> list[str]:
    """Returns what falls short with the sealed folder and with the file that torch writes of the same state.

    Where nothing stands in the way, the resumed run must go on as the saved one would have.
    """
    import torch

    saved = quietly(case.saved)
    torch.save({name: part.state_dict() for name, part in saved.items()}, folder / "plain.pt")
    verb("save")(saved, folder / "sealed")
    short = []
    for name, expect in (("sealed", case.EXPECT), ("plain.pt", case.EXPECT.get("plain", case.EXPECT))):
        report = as_dict(intact.check(folder / name, quietly(case.target)))
        short += disagreements(expect, report)
        if report["verdict"] in ("intact", "repairable"):
            resumed = quietly(case.target)
            intact.load_into(resumed, folder / name)
            if quietly(case.train, resumed, 4) != quietly(case.train, quietly(case.saved), 4):
                short.append("the resumed run goes on otherwise than the saved one")
    return short


def of_save(case: ModuleType, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the report of an audit before saving."""
    return as_dict(verb("audit")(quietly(case.model))), []


def of_behaviour(case: ModuleType, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the report on a sealed checkpoint for a model that behaves otherwise."""
    import torch

    path = folder / "sealed.safetensors"
    torch.manual_seed(0)
    verb("save")(quietly(case.original), path, example_inputs=quietly(case.inputs))
    return as_dict(intact.check(path, quietly(case.model))), []


def of_load(case: ModuleType, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the report on the case's checkpoint, and what was wrong with the values of a repaired load."""
    path = quietly(case.make, str(folder))
    model = quietly(case.model) if hasattr(case, "model") else None
    report = as_dict(intact.check(path, model) if model is not None else intact.check(path))
    wrong = []
    if model is not None and hasattr(case, "check_repaired") and set(case.EXPECT["verdict"]) & LOADS:
        fresh = quietly(case.model)
        try:
            intact.load_into(fresh, path)
            case.check_repaired(fresh, str(folder))
        except (intact.IntactError, AssertionError) as error:
            wrong.append(f"load_into: {type(error).__name__}: {str(error)[:300]}")
    if hasattr(case, "check_salvaged"):
        try:
            case.check_salvaged(dict(intact.salvage(path).tensors), str(folder))
        except (intact.IntactError, AssertionError, KeyError) as error:
            wrong.append(f"salvage: {type(error).__name__}: {str(error)[:300]}")
    return report, wrong


def quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what a part of a case returns; what torch warns of there is none of intact's doing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments)


def verb(name: str) -> Callable[..., Any]:
    """Returns a verb of the package that this version may not have yet."""
    found: Callable[..., Any] = getattr(intact, name)
    return found


def as_dict(report: Any) -> dict[str, Any]:
    """Returns a report as other people's tools get it."""
    plain: dict[str, Any] = json.loads(report.to_json())
    return plain


def disagreements(expect: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """Returns the parts of an expectation that a report does not meet."""
    short = []
    codes = {finding["code"] for finding in report["findings"]}
    if report["verdict"] not in expect["verdict"]:
        short.append(f"verdict {report['verdict']}, expected {' or '.join(expect['verdict'])}")
    short += [f"no {' or '.join(any_of)} among {sorted(codes)}" for any_of in expect["codes"] if not codes & set(any_of)]
    short += [f"wrongly reports {code}" for code in expect.get("forbid", []) if code in codes]
    text = json.dumps(report, ensure_ascii=False)
    escaped = [(name, json.dumps(name, ensure_ascii=False)[1:-1]) for name in expect.get("names", [])]
    short += [f"does not name {name!r}" for name, inner in escaped if name not in text and inner not in text]
    return short
