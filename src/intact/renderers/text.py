"""A report as text for a person: what the file is, the verdict, one paragraph for each cause, and what would be done.

The layout is that of compilers' messages: a headline that is true when read alone, found beside expected, the cause, and last
what to do. Three examples stand for all keys of a finding; `--json` lists every one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from intact.core.finding import Example, Finding
from intact.core.grouping import group_keys
from intact.core.report import Report, Verdict
from intact.core.wording import LOSS_FREE, count
from intact.errors import IntactError
from intact.renderers.audit import is_audit, kept, meaning, model_row, stop_rows
from intact.renderers.head import head_rows, labelled, tensors_text
from intact.renderers.layout import Row, drawn
from intact.renderers.plan import in_the_way, step_text
from intact.renderers.words import MEANINGS, MEANINGS_ALONE, cells, clean, name, padded, sentence, shorten, size_text

EXAMPLES = 3
GROUPS = 4
"""Groups of keys that one finding lists; where there are more, their number says enough."""

SHORTEST_KEY = 24
_FACT = re.compile(r"  (\S+ \[[0-9, ]*\](?:  .*)?)\Z", re.DOTALL)
"""Dtype and shape at the end of one side of an example, with what a rule adds to them."""
_FIELD = 10
_STYLES: dict[Verdict, str] = {
    "intact": "bold green",
    "suspect": "bold yellow",
    "repairable": "bold yellow",
    "lossy": "bold yellow",
    "incompatible": "bold red",
    "damaged": "bold red",
    "unsafe": "bold red",
}
_SEVERITIES = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}


def render(report: Report, *, width: int | None = None, color: bool = False) -> str:
    """Returns the report as text.

    Args:
        report: What is to be said.
        width: Columns of the terminal; None for lines of any length, as other programs want them.
        color: Whether to use escape sequences for colours.
    """
    return drawn(_rows(report, width), width, color)


def head_line(report: Report) -> str:
    """Returns what the checkpoint is, in one line."""
    row = next(head_rows(report))
    return f"{row.label}{row.text}, {tensors_text(report.found)}"


def verdict_line(report: Report) -> str:
    """Returns the path, the verdict and its meaning, in one line."""
    row = _verdict(report)
    place = report.target.class_name if report.target is not None and is_audit(report) else report.source.path
    return f"{clean(place)}: {row.label}{row.text}"


def error_text(error: IntactError, *, color: bool = False) -> str:
    """Returns an error as findings print: code and message, then the file and what to do."""
    rows = [Row(sentence(error.message), f"{error.code or 'error'}: ", 2, _SEVERITIES["error"])]
    if error.path:
        rows.append(_field("file", clean(error.path)))
    if error.help:
        rows.append(_field("help", sentence(error.help)))
    return drawn(rows, None, color)


def _rows(report: Report, width: int | None) -> Iterator[Row]:
    if is_audit(report):
        yield model_row(report)
    else:
        yield from head_rows(report)
    yield from _calls(report)
    yield Row()
    yield _verdict(report)
    if not is_audit(report) and not report.saved:
        yield from _matched(report)
    for finding in report.findings:
        if finding.severity != "info":
            yield Row()
            yield from finding_rows(finding, width, _place_in_plan(report, finding))
    if not report.saved:
        yield from stop_rows(report) if is_audit(report) else _plan(report)
    yield from _notes(report)


def _calls(report: Report) -> Iterator[Row]:
    """Yields what unpickling would call beyond tensors and plain data: harmless or not, it is code of somebody else."""
    called = [name(foreign.name) for foreign in report.found.foreign if foreign.called]
    if called:
        more = f" and {len(called) - EXAMPLES:,} more" if len(called) > EXAMPLES else ""
        yield labelled("unpickling", f"would call {', '.join(called[:EXAMPLES])}{more}; nothing was called")


def _verdict(report: Report) -> Row:
    meanings = MEANINGS if report.target is not None else MEANINGS_ALONE
    words = kept(report) if report.saved else meaning(report) if is_audit(report) else meanings[report.verdict]
    if report.target is None and report.verdict == "intact" and report.source.integrity.checked_bytes:
        crc = report.source.integrity.kind == "crc32"
        words = "every record has the CRC-32 that was written with it" if crc else "every byte is as it was when it was sealed"
    return Row(words, f"{report.verdict}: ", 2, _STYLES[report.verdict])


def _matched(report: Report) -> Iterator[Row]:
    if report.target is None:
        if report.verdict == "intact":
            yield Row("whether it fits a model is not looked at: none was given", "  ", 2)
        return
    if not report.found.tensors:
        return
    every = "all " if report.matched_keys == report.target.tensors > 0 else f"{report.matched_keys:,} of "
    how = "load with the values of the file" if report.plan.steps else "load as they are"
    keys = f"{every}{count(report.target.tensors, 'key')} of the model"
    size = f" ({size_text(report.matched_bytes)})" if report.matched_keys else ""
    yield Row(f"{keys} {how}{size}", "  ", 2)


def finding_rows(finding: Finding, width: int | None = None, step: int = 0) -> Iterator[Row]:
    """Yields one finding: headline, evidence, cause, help.

    Args:
        finding: The finding.
        width: Columns of the terminal; None for lines of any length.
        step: Number of its step in a plan that is shown; 0 where there is none.
    """
    yield Row(sentence(finding.headline), f"{finding.code}: ", 2, _SEVERITIES[finding.severity])
    yield from _examples(finding.examples[:EXAMPLES], width)
    yield from _rest(finding)
    if finding.cause:
        yield _field("cause", sentence(finding.cause))
    if finding.help:
        told = finding.help.replace(LOSS_FREE, f"loss-free repair: step {step} of the plan") if step else finding.help
        yield _field("help", sentence(told))
    if _has_page(finding.code):
        yield _field("more", f"intact explain {finding.code}")


def _place_in_plan(report: Report, finding: Finding) -> int:
    """Returns the number of the step that removes a finding, 0 where none does or no plan is shown."""
    if report.target is None or finding.step is None or in_the_way(report):
        return 0
    return next((number for number, (_, step) in enumerate(report.plan.steps, 1) if step is finding.step), 0)


def _field(label: str, text: str, *, whole: bool = False) -> Row:
    return Row(text, f"  {label:{_FIELD}}", _FIELD + 2, "dim", whole)


def _examples(examples: Sequence[Example], width: int | None) -> Iterator[Row]:
    """Yields the examples with their keys in one column and their dtypes and shapes in another."""
    sides = [(side, *_split(text)) for e in examples for side, text in (("found", e.found), ("expected", e.expected)) if text]
    facts = max((cells(fact) for _, _, fact in sides), default=0)
    limit = 96 if width is None else max(SHORTEST_KEY, width - _FIELD - 4 - facts)
    rows = [(side, shorten(key, limit), fact) for side, key, fact in sides]
    column = max((cells(key) for _, key, _ in rows), default=0)
    for side, key, fact in rows:
        yield _field(side, f"{padded(key, column)}  {fact}".rstrip(), whole=True)


def _split(text: str) -> tuple[str, str]:
    """Returns key and the rest of one side of an example; text of another form is all key."""
    parts = _FACT.search(text)
    return (clean(text[: parts.start()]), sentence(parts[1])) if parts else (clean(text), "")


def _rest(finding: Finding) -> Iterator[Row]:
    """Yields what the examples leave out: exact groups of all keys where they are few, otherwise a count."""
    shown = min(len(finding.examples), EXAMPLES)
    more = len(finding.keys) - shown
    if more <= 0 or (shown and len(finding.keys) <= 1):
        return
    groups = group_keys(finding.keys, leaves=True)
    if len(groups) <= GROUPS:
        for number, group in enumerate(groups):
            yield _field("keys" if number == 0 else "", name(group.text()))
    elif shown:
        yield _field("", f"and {more:,} more")
    else:
        names = ", ".join(name(group.text()) for group in groups[:EXAMPLES])
        yield _field("keys", f"{names}, and {len(groups) - EXAMPLES:,} more groups")


def _has_page(code: str) -> bool:
    from intact.rules import PAGES

    return code in PAGES


def _plan(report: Report) -> Iterator[Row]:
    if report.target is None or not (report.plan.steps or report.findings):
        return
    blocking = in_the_way(report)
    if blocking:
        if report.found.tensors:
            yield Row()
            stand = "stands" if len(blocking) == 1 else "stand"
            yield Row(f"none, {', '.join(blocking)} {stand} in the way", "plan: ", 2, "bold")
        return
    if not report.plan.steps:
        return
    yield Row()
    lossy = report.plan.lossy_codes
    grade = "loss-free" if report.plan.lossless else "not without your word, because something is lost"
    yield Row(f"{count(len(report.plan.steps), 'step')}, {grade}", "plan: ", 2, "bold")
    for number, (code, step) in enumerate(report.plan.steps, 1):
        lost = "" if step.lossless else ", loses something"
        yield Row(f"{sentence(step_text(step.to_dict()))} ({code}{lost})", f"  {number:<3} ", 6, "dim")
    yield from _commands(report, lossy)


def _commands(report: Report, lossy: Sequence[str]) -> Iterator[Row]:
    path = clean(report.source.path)
    allow = f", allow={list(lossy)!r}".replace("'", '"') if lossy else ""
    quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    yield _field("Python", f"intact.load_into(model, {quoted}{allow})")
    words = " ".join(f"--allow {code}" for code in lossy)
    yield _field("command", f"intact repair {shlex.quote(path)} -o NEW --model FILE.py:FACTORY {words}".rstrip())


def _notes(report: Report) -> Iterator[Row]:
    notes = [finding for finding in report.findings if finding.severity == "info"]
    if notes:
        yield Row()
    for finding in notes:
        yield Row(sentence(finding.headline), f"note: {finding.code}: ", 2, _SEVERITIES["info"])
