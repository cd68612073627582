"""What becomes of ties when a step treats some of the tied keys differently: each set that is treated alike stays one tensor."""

from __future__ import annotations

from collections.abc import Callable, Hashable


def regrouped(ties: tuple[tuple[str, ...], ...], treatment: Callable[[str], Hashable]) -> tuple[tuple[str, ...], ...]:
    """Returns the ties after a step.

    Args:
        ties: Groups of keys that are one tensor before it.
        treatment: What the step does to a key; equal for keys that are still one tensor afterwards.
    """
    groups = []
    for tied in ties:
        alike: dict[Hashable, list[str]] = {}
        for key in tied:
            alike.setdefault(treatment(key), []).append(key)
        groups += [tuple(keys) for keys in alike.values() if len(keys) > 1]
    return tuple(groups)
