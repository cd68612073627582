"""A report as one page of HTML that needs nothing else: no network, no other file, no program but a browser.

Folding is the browser's own (`details`), so it works by keyboard and without scripts; a short script adds the search.
Everything that comes from a file is escaped, and the page forbids itself to load or send anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.keys import is_ordinary, natural_order
from intact.core.report import Report
from intact.core.statistics import Statistics
from intact.core.tensor import TensorInfo
from intact.core.wording import count, shape_text
from intact.renderers.head import integrity_text, tensors_text, writer_text
from intact.renderers.html_parts import PAGE, SCRIPT, STYLE
from intact.renderers.plan import step_text
from intact.renderers.words import clean, container_text, size_text

MOST_TENSORS = 20_000
"""Tensors that the tree shows; a page with more takes a browser seconds to lay out."""
MOST_KEYS = 200
MEANINGS = {
    "intact": "it is whole, and loads as it is",
    "suspect": "it loads as it is, and something is probably not what was meant",
    "repairable": "as it is, it loads wrongly or not at all; a loss-free repair exists",
    "lossy": "it loads only by giving something up, which has to be allowed",
    "incompatible": "no sensible load exists",
    "damaged": "bytes are missing or changed",
    "unsafe": "unpickling it would do harm",
}


def render(report: Report) -> str:
    """Returns the page."""
    title = f"{_text(report.source.path)} · intact"
    body = "\n".join([*_head(report), *_findings(report), *_plan(report), *_sides(report), *_tree(report)])
    return PAGE.format(title=title, style=STYLE, script=SCRIPT, body=body)


def _text(value: object) -> str:
    return escape(clean(str(value)), quote=True)


def _head(report: Report) -> Iterator[str]:
    verdict = report.verdict or "inspected"
    source = report.source
    meaning = MEANINGS.get(verdict, "")
    yield f'<header><h1>{_text(source.path)}</h1><p class="verdict {verdict}"><b>{verdict}</b> {meaning}</p><dl>'
    rows = [("container", f"{container_text(source.container)}, {size_text(source.size_bytes)}")] if source.container else []
    if source.container:
        rows += [("tensors", tensors_text(report.found)), ("checksums", integrity_text(source.integrity))]
    if source.writer.program:
        rows.append(("written by", writer_text(source.writer)))
    if report.target is not None:
        total = len(report.expected.tensors) if report.expected else report.target.tensors
        rows.append(("model", f"{report.target.class_name}, {count(report.target.tensors, 'key')}"))
        rows.append(("loads", f"{report.matched_keys:,} of {count(total, 'key')} with the values of the file"))
    yield from (f"<dt>{_text(label)}</dt><dd>{_text(said)}</dd>" for label, said in rows)
    yield "</dl></header>"


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    yield f"<section><h2>Findings <small>{len(report.findings)}</small></h2>"
    yield from map(_finding, report.findings)
    yield "</section>"


def _finding(finding: Finding) -> str:
    rows = [("cause", finding.cause), ("help", finding.help)]
    parts = [f'<article class="finding {finding.severity}"><h3><code>{_text(finding.code)}</code> {_text(finding.headline)}</h3>']
    if finding.examples:
        lines = "".join(f"<tr><td>{_text(e.found) or '-'}</td><td>{_text(e.expected) or '-'}</td></tr>" for e in finding.examples)
        parts.append(f"<table><thead><tr><th>found</th><th>expected</th></tr></thead><tbody>{lines}</tbody></table>")
    parts += [f"<p><i>{label}</i> {_text(said)}</p>" for label, said in rows if said]
    if finding.keys:
        listed = "".join(f"<li>{_text(key)}</li>" for key in finding.keys[:MOST_KEYS])
        more = f"<li>and {len(finding.keys) - MOST_KEYS:,} more</li>" if len(finding.keys) > MOST_KEYS else ""
        parts.append(f"<details><summary>{count(len(finding.keys), 'key')}</summary><ul>{listed}{more}</ul></details>")
    return "".join([*parts, "</article>"])


def _plan(report: Report) -> Iterator[str]:
    steps = report.plan.to_dict()["steps"]
    if steps:
        free = "loss-free" if report.plan.lossless else "not without your word, because something is lost"
        yield f"<section><h2>Plan <small>{free}</small></h2><ol>"
        yield from (f"<li>{_text(step_text(step))} <code>{_text(step['code'])}</code></li>" for step in steps)
        yield "</ol></section>"


def _sides(report: Report) -> Iterator[str]:
    """What loads from where, and what only one side has, side by side."""
    if report.expected is None:
        return
    final = report.found
    for _, step in report.plan.steps:
        final = step.predict(final) if step.lossless else final  # a lossy step may do away with what is to be shown here
    yield from _matched(report, final, report.expected)
    only_file = [key for key in final.tensors if key not in report.expected.tensors]
    only_model = [key for key in report.expected.tensors if key not in final.tensors]
    if not only_file and not only_model:
        return
    yield '<section><h2>Unmatched</h2><div class="sides">'
    for title, keys, side in (("only in the file", only_file, final), ("only in the model", only_model, report.expected)):
        rows = "".join(f"<li>{_text(key)} <span>{_facts(side.tensors[key])}</span></li>" for key in keys[:MOST_KEYS])
        yield f"<div><h3>{title} <small>{len(keys):,}</small></h3><ul>{rows}{_more(keys, 'li')}</ul></div>"
    yield "</div></section>"


def _matched(report: Report, final: Description, expected: Description) -> Iterator[str]:
    """Which key of the model has its values from which key of the file: those that differ first, the others folded."""
    rows = [(key, final.tensors[key].sources, wanted) for key, wanted in expected.tensors.items() if key in final.tensors]
    alike: list[tuple[str, tuple[str, ...], TensorInfo]] = []
    changed: list[tuple[str, tuple[str, ...], TensorInfo]] = []
    for key, sources, wanted in rows:
        given = report.found.tensors.get(key)
        same = sources == (key,) and given is not None and (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
        (alike if same else changed).append((key, sources, wanted))
    if not rows:
        return
    yield f"<section><h2>Matched <small>{len(rows):,} of {count(len(expected.tensors), 'key')}</small></h2>"
    for said, these, unfolded in (("under another name, or changed on the way", changed, " open"), ("as they are", alike, "")):
        if these:
            lines = "".join(_pair(report.found, *row) for row in these[:MOST_KEYS])
            yield (
                f"<details{unfolded}><summary>{count(len(these), 'key')} {said}</summary><table><thead><tr><th>in the file</th>"
                f"<th>in the model</th></tr></thead><tbody>{lines}</tbody></table>{_more(these, 'p')}</details>"
            )
    yield "</section>"


def _pair(found: Description, key: str, sources: tuple[str, ...], wanted: TensorInfo) -> str:
    here = "<br>".join(
        f"{_text(source)} <span>{_facts(found.tensors[source]) if source in found.tensors else ''}</span>" for source in sources
    )
    return f"<tr><td>{here or '-'}</td><td>{_text(key)} <span>{_facts(wanted)}</span></td></tr>"


def _more(rows: Sequence[object], element: str) -> str:
    return f"<{element}>and {len(rows) - MOST_KEYS:,} more</{element}>" if len(rows) > MOST_KEYS else ""


def _facts(tensor: TensorInfo) -> str:
    return _text(f"{tensor.dtype} {shape_text(tensor.shape)}")


# --- the tree of keys


def _tree(report: Report) -> Iterator[str]:
    if not report.found.tensors:
        return
    yield (
        "<section><h2>Tensors <small>"
        f"{len(report.found.tensors):,}</small></h2>"
        '<p><label>Search <input type="search" id="search" placeholder="part of a key, dtype or shape" autocomplete="off">'
        "</label> "
        '<button type="button" id="open">unfold</button> <button type="button" id="close">fold</button> '
        '<output id="hits" aria-live="polite"></output></p><div id="tree">'
    )
    yield from _branches(report.found, report.values)
    if len(report.found.tensors) > MOST_TENSORS:
        yield f"<p>and {len(report.found.tensors) - MOST_TENSORS:,} more tensors; the JSON report lists all</p>"
    yield "</div></section>"


def _branches(found: Description, values: Mapping[str, Statistics]) -> Iterator[str]:
    """Yields nested modules, opened and closed as the keys go in and out of them."""
    scale = _scale(values)
    open_path: list[str] = []
    for key in sorted(list(found.tensors)[:MOST_TENSORS], key=natural_order):
        *path, leaf = key.split(".") if is_ordinary(key) else [key]
        same = 0
        while same < min(len(path), len(open_path)) and path[same] == open_path[same]:
            same += 1
        yield "</details>" * (len(open_path) - same)
        for depth in range(same, len(path)):
            unfolded = " open" if depth < 1 else ""
            yield f"<details{unfolded}><summary>{_text(path[depth])}</summary>"
        open_path = path
        yield _leaf(key, leaf, found.tensors[key], values.get(key), scale)
    yield "</details>" * len(open_path)


def _leaf(key: str, leaf: str, tensor: TensorInfo, row: Statistics | None, scale: float) -> str:
    chart = _chart(row, scale) if row is not None else ""
    special = ""
    if row is not None and (row.nan or row.positive_inf or row.negative_inf):
        special = f' <b class="bad">{row.nan + row.positive_inf + row.negative_inf:,} not finite</b>'
    facts = f"{_facts(tensor)} · {size_text(tensor.size_bytes)}"
    words = f"{_text(key.lower())} {_facts(tensor)}"
    return f'<div class="leaf" data-key="{words}"><span>{_text(leaf)}</span> <i>{facts}</i>{special}{chart}</div>'


def _scale(values: Mapping[str, Statistics]) -> float:
    """The largest usual magnitude, so that charts of one page can be compared."""
    spread = sorted(4 * row.std for row in values.values() if math.isfinite(row.std) and row.std > 0)
    return spread[int(len(spread) * 0.95)] if spread else 1.0


def _chart(row: Statistics, scale: float) -> str:
    """The distribution from minimum to maximum, its mean as a line, and zero in the middle."""
    figures = (row.minimum, row.maximum, row.mean, row.std)
    if not all(map(math.isfinite, figures)):
        return ""

    def place(value: float) -> float:
        return 60 + 58 * max(-1.0, min(1.0, value / scale))

    low, high, mean = place(row.minimum), place(row.maximum), place(row.mean)
    said = f"{row.minimum:.3g} to {row.maximum:.3g}, mean {row.mean:.3g}, standard deviation {row.std:.3g}"
    return (
        f'<svg viewBox="0 0 120 16" role="img" aria-label="{said}"><title>{said}</title>'
        f'<path class="axis" d="M60 0V16"/><path class="range" d="M{low:.1f} 15.5H{max(high, low + 0.5):.1f}"/>'
        f'<path class="box" d="{_area(row, place)}"/><path class="mean" d="M{mean:.1f} 2V16"/></svg>'
    )


def _area(row: Statistics, place: Callable[[float], float]) -> str:
    """Outline of the steps of a histogram, the highest as high as the chart."""
    if not row.histogram:
        return ""
    most, width = max(row.histogram), (row.maximum - row.minimum) / len(row.histogram)
    steps = [
        f"V{15 - 14 * number / most:.1f}H{place(row.minimum + width * (n + 1)):.1f}" for n, number in enumerate(row.histogram)
    ]
    return f"M{place(row.minimum):.1f} 15{''.join(steps)}V15Z"
