"""Does a replay name the module where two runs part, and stay silent where nothing but rounding is another?

    python -m benchmarks.behaviour_changes [--families llama,bert] [--json PATH]

Models of a dozen families of transformers are sealed with example inputs. Each is loaded back, by `intact.load` and into a fresh
model: both have to be intact. Then each is built with one change that leaves all shapes alone, and the report has to name the
module in which it is; and once with other attention kernels, memory formats and numbers of threads, of which nothing may be
said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from benchmarks.behaviour_families import FAMILIES, Change, Family
from benchmarks.tallying import keep, place_of, table

import intact
from intact.core.report import Report

NAME = "behaviour_changes"
COLUMNS = ("intact", "changes", "named", "elsewhere", "silent", "rewrites", "alarms")
SCALE = 0.12
"""Spread of the weights of a toy model: with the 0.02 of an untrained one attention is the mean of everything, and no head
matters."""


def main(argv: Sequence[str] = ()) -> int:
    """Runs all families, prints the table, and keeps the record; 1 where anything was not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--families", default=",".join(family.name for family in FAMILIES))
    parser.add_argument("--json", type=Path, default=place_of(NAME))
    wanted = parser.parse_args(argv)
    counts: dict[str, Counter[str]] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            if family.name in wanted.families.split(","):
                counts[family.name], wrong = run(family, Path(folder))
                failures += wrong
        counts["all"] = sum(counts.values(), Counter())
        print(table("family", COLUMNS, counts))
        print("\n".join(failures))
        total = counts["all"]
        answer = (
            f"{total['named']} of {total['changes']} changes in {len(counts) - 1} families are named at the right module; "
            f"{total['alarms']} alarms in {total['rewrites']} equivalent rewrites"
        )
        print(answer)
        keep(wanted.json, "does a replay name the module where two runs part?", answer, Path(folder), {"counts": counts})
    return 1 if failures else 0


def run(family: Family, folder: Path, changes: Sequence[Change] | None = None) -> tuple[Counter[str], list[str]]:
    """Returns the counts of one family, and what was not as it has to be.

    Args:
        family: Which.
        folder: Where its checkpoint goes.
        changes: Those to be tried; all of the family where None.
    """
    path = folder / f"{family.name}.safetensors"
    torch.manual_seed(0)
    original = trained(family.build().eval())
    counts: Counter[str] = Counter()
    began = time.perf_counter()
    report = intact.save(original, path, example_inputs=family.inputs())
    wrong = [f"{family.name}: {finding.headline}" for finding in report.findings if finding.code == "behaviour/not-probed"]
    wrong += list(_loads(family, path, original))
    counts["intact"] += 2 - len(wrong)
    for change in family.changes if changes is None else changes:
        counts["changes"] += 1
        outcome, told = judged(intact.check(path, family.build(change)), change)
        counts[outcome] += 1
        if outcome != "named":
            wrong.append(f"{family.name}, {change.name}: {outcome}, wanted {' or '.join(change.places)}: {told}")
    for name, report in rewritten(family, path):
        counts["rewrites"] += 1
        if alarms := [f"{f.code}: {f.headline}" for f in report.findings if f.severity != "info" and f.code != "arch/key-prefix"]:
            counts["alarms"] += 1
            wrong.append(f"{family.name}, {name}: {alarms}")
    counts["ms"] += round((time.perf_counter() - began) * 1000)
    return counts, wrong


def trained(model: torch.nn.Module) -> torch.nn.Module:
    """Returns the model with weights of which each has its effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * SCALE
            parameter.copy_(noise if parameter.dim() > 1 else parameter + noise)
    return model


def _loads(family: Family, path: Path, original: torch.nn.Module) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", intact.CheckpointWarning)
        try:
            loaded = intact.load(path, type(original))
            if any(not torch.equal(one, other) for one, other in zip(loaded.parameters(), original.parameters(), strict=True)):
                yield f"{family.name}: intact.load gives other weights"
        except (intact.IntactError, intact.CheckpointWarning) as error:
            yield f"{family.name}: intact.load: {error}"
    report = intact.check(path, family.build().eval())
    if report.verdict != "intact":
        yield f"{family.name}: a fresh model is {report.verdict}: {[finding.headline for finding in report.findings]}"


def judged(report: Report, change: Change) -> tuple[str, str]:
    """Returns `named`, `elsewhere` or `silent`, and what was told.

    A change counts as named where a warning says so and the place is the right one, whichever code says it.
    """
    told = [finding for finding in report.findings if finding.severity != "info"]
    places = [place for finding in told for place in places_in(dict(finding.evidence))]
    text = "; ".join(f"{finding.code} at {places_in(dict(finding.evidence))}" for finding in told)
    if not told:
        return "silent", "; ".join(f"{finding.code}: {finding.headline}" for finding in report.findings)
    return ("named" if set(places) & set(change.places) and _first(told) in change.places else "elsewhere"), text


def _first(told: Sequence[Any]) -> str | None:
    """The place that the report as a whole points to."""
    for finding in told:
        evidence = dict(finding.evidence)
        for name in ("module", "parts_at"):
            if isinstance(evidence.get(name), str):
                return str(evidence[name])
        if finding.code == "behaviour/dropout-active":
            return str(evidence["modules"][0][0])
    return None


def places_in(evidence: dict[str, Any]) -> list[str]:
    """Returns the modules that evidence points to."""
    places = [evidence[name] for name in ("module", "parts_at") if isinstance(evidence.get(name), str)]
    return places + [row[0] for row in evidence.get("modules", []) if isinstance(row, list)][:1]


def rewritten(family: Family, path: Path) -> Iterator[tuple[str, Report]]:
    """Yields reports on models that compute the same in another way."""
    other = "eager" if family.sizes.get("attn_implementation", "sdpa") == "sdpa" else "sdpa"
    if family.name not in ("bloom", "convnext", "gemma2"):  # they have one kernel, or caps that the other leaves out
        yield f"{other} attention", intact.check(path, family.build(attn_implementation=other).eval())
    with threads(2 if torch.get_num_threads() == 1 else 1):
        yield "another number of threads", intact.check(path, family.build().eval())
    if family.images:
        model: Callable[..., torch.nn.Module] = family.build().eval().to
        yield "channels last", intact.check(path, model(memory_format=torch.channels_last))
    yield "wrapped in DataParallel", intact.check(path, torch.nn.DataParallel(family.build().eval()))


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Sets the number of threads of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
