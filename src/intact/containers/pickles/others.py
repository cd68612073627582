"""Pickles that stand in a file beside the one that holds the checkpoint: what they name, so that nothing hides in them.

Whoever opens an archive by hand, or with a program that looks for pickles, runs those too. They are read as inertly as the main
one, and only their names are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from intact.containers.pickles.machine import Machine
from intact.containers.pickles.opcodes import TABLE
from intact.containers.pickles.values import Buffer
from intact.core.description import ForeignName
from intact.errors import CannotRead

PICKLES_LIMIT = 1000
"""Pickles behind one another that are looked at."""

_BINARY = re.compile(rb"(?s)\x80[\x02-\x05]")
_TEXT = re.compile(rb"(?s)\(?[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\(dp?\d*\n|\(lp\d*\n")
_HEAD_BYTES = 256


def begins_as_pickle(head: bytes) -> bool:
    """Tells whether some first bytes are those of a pickle; of the oldest protocols only such as hold names or collections."""
    return _BINARY.match(head) is not None or _TEXT.match(head) is not None


def names_in(data: Buffer, place: str, begin: int = 0) -> tuple[ForeignName, ...]:
    """Returns what pickles name that stand one behind the other, the last one whole or not.

    Args:
        data: The bytes that hold them.
        place: What they are called in reports.
        begin: Byte at which the first one begins.
    """
    found: dict[str, ForeignName] = {}
    for _ in range(PICKLES_LIMIT):
        if not begins_as_pickle(bytes(data[begin : begin + _HEAD_BYTES])):
            break
        machine = Machine(data, begin)
        try:
            end = machine.run(TABLE).end
        except CannotRead:
            end = len(data)
        for name in machine.foreign.values():
            found.setdefault(name.name, replace(name, place=place, position=name.position + begin))
        begin = end
    return tuple(found.values())


def merged(first: Iterable[ForeignName], more: Iterable[ForeignName]) -> tuple[ForeignName, ...]:
    """Returns all names, those of the main pickle in front; a name that stands in both counts as called if either calls it."""
    found = {name.name: name for name in first}
    for name in more:
        seen = found.get(name.name)
        if seen is None:
            found[name.name] = name
        elif name.called and not seen.called:
            found[name.name] = replace(seen, called=True)
    return tuple(found.values())
