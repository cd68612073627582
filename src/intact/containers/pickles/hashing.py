"""Which values may be keys, and at what price.

Python hashes nested tuples by recursion in C, walks shared parts again and again, and hashes large numbers by a rule that
anybody can turn into collisions. Three keys in a small file can so end the process or hold it for hours. Keys are therefore
looked at first: what is deep or wide stands behind a record of its own, and large numbers are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intact.core.container import Foreign, TensorRecord

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

KEY_DEPTH_LIMIT = 64
"""Deepest tuple that is hashed; real keys are names, numbers and pairs of them."""
KEY_PARTS_LIMIT = 4096
"""Most parts of one key, shared ones counted each time, as hashing does."""
SMALL_NUMBER = 1 << 40
"""Numbers below this hash to themselves without a common factor that could make them collide by design."""

_PLAIN = frozenset({str, bytes, bool, type(None)})


def key_of(machine: Machine, value: Any) -> Any:
    """Returns the value itself where it can be hashed safely, else a record that holds it and is compared by identity."""
    kind = type(value)
    if kind in _PLAIN or (kind is int and -SMALL_NUMBER < value < SMALL_NUMBER) or isinstance(value, (Foreign, TensorRecord)):
        return value
    return value if _hashable(machine, value) else Foreign("unhashable key", (value,))


def _hashable(machine: Machine, value: Any) -> bool:
    waiting = [(value, 0)]
    parts = 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if isinstance(part, (tuple, frozenset)):
            if depth >= KEY_DEPTH_LIMIT or parts + len(part) > KEY_PARTS_LIMIT:
                return False
            machine.spend(8 * len(part))
            waiting.extend((inner, depth + 1) for inner in part)
        elif isinstance(part, (int, float, complex)):
            if not (isinstance(part, int) and abs(part) < SMALL_NUMBER):
                machine.note_large_key(part)
        elif not (type(part) in _PLAIN or isinstance(part, (Foreign, TensorRecord, range))):
            return False
    return True
