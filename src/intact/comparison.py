"""What was found beside what is expected: every disagreement, each once, in an order that does not depend on the file's.

Neither side is asked where it came from. Values are not looked at here: a tie that the file does not show is a difference even
where both copies hold the same bytes, and the rule for it asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.description import Description
from intact.core.difference import Difference
from intact.core.keys import natural_order

MOST_NATURAL = 20_000
"""Unexpected keys up to which the order is the one that a person expects; of more than these nobody reads the list."""


def compare(found: Description, expected: Description) -> tuple[Difference, ...]:
    """Returns all differences: missing, shape and dtype in the model's order, then ties, then unexpected sorted by key."""
    return (*_of_expected(found, expected), *_of_ties(found, expected), *_unexpected(found, expected))


def _of_expected(found: Description, expected: Description) -> Iterator[Difference]:
    for key, wanted in expected.tensors.items():
        given = found.tensors.get(key)
        if given is None:
            yield Difference("missing", key, None, wanted)
        elif wanted.lazy:
            continue
        elif given.shape != wanted.shape or given.layout != wanted.layout:
            yield Difference("shape", key, given, wanted)
        elif given.dtype != wanted.dtype and given.placement == "copy":
            yield Difference("dtype", key, given, wanted)


def _of_ties(found: Description, expected: Description) -> Iterator[Difference]:
    if not expected.ties:
        return
    group_of = {key: number for number, group in enumerate(found.ties) for key in group}
    for group in expected.ties:
        present = [key for key in group if key in found.tensors]
        for key in present[1:]:
            first, here = group_of.get(present[0]), group_of.get(key)
            if first is None or first != here:
                yield Difference("tie", key, found.tensors[key], expected.tensors[present[0]])


def _unexpected(found: Description, expected: Description) -> Iterator[Difference]:
    extra = [key for key, given in found.tensors.items() if key not in expected.tensors and given.placement != "register"]
    for key in sorted(extra, key=natural_order if len(extra) <= MOST_NATURAL else None):
        yield Difference("unexpected", key, found.tensors[key], None)
