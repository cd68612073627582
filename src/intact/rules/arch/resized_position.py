"""Positions are built for another length.

## Cause
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import classify, copy_common, keep_fresh, resized_finding

CODE = "arch/resized-position"
WHAT = "positions are built for another length"
CAUSE = "the model is built for another sequence length or image size"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields tables of positions in a row, whose common part means the same, and grids or masks, whose does not."""
    kinds = classify(facts)
    mine = [d for d in facts.of_kind("shape") if kinds[d.key] == CODE]
    rows = [d for d in mine if _is_row_table(d)]
    rest = [d for d in mine if not _is_row_table(d)]
    if rows:
        loss = "the positions that both have are copied; further ones stay fresh or are dropped"
        yield resized_finding(CODE, rows, what=WHAT, cause=CAUSE, loss=loss, step=copy_common(rows))
    if rest:
        loss = "these tensors keep the model's own values; a grid of positions is usually interpolated instead"
        yield resized_finding(CODE, rest, what=WHAT, cause=CAUSE, loss=loss, step=keep_fresh(rest))


def _is_row_table(difference: Difference) -> bool:
    wanted = difference.expected
    return wanted is not None and wanted.role == "parameter" and len(wanted.shape) == 2


RULE = Rule(CODE, detect, page=__doc__ or "")
