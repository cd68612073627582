"""A record that fits its size: of the run, the innermost calls are given up first, then the last ones, then values of outputs."""

from __future__ import annotations

import msgspec

from intact.core.probe import ABSENT, CallRecord, Probe, Trace


def fitted(made: Probe, most_bytes: int) -> Probe | None:
    """Returns a record with as much of the run as fits; None where not even its inputs do.

    Args:
        made: The whole record.
        most_bytes: Bytes of its text.
    """
    if _size(made) <= most_bytes:
        return made
    depths = _depths(made.trace)
    for depth in range(max(depths, default=0) - 1, -1, -1):
        kept = _kept(made, [number for number, other in enumerate(depths) if other <= depth])
        if _size(kept) <= most_bytes:
            return kept
    share = len(made.trace.calls)
    while share:
        share //= 2
        kept = _kept(made, [number for number, depth in enumerate(depths) if depth <= 1][:share])
        if _size(kept) <= most_bytes:
            return kept
    outputs = tuple(msgspec.structs.replace(output, values="") for output in made.trace.outputs)
    bare = _kept(msgspec.structs.replace(made, trace=msgspec.structs.replace(made.trace, outputs=outputs), tables=()), [])
    return bare if _size(bare) <= most_bytes else None


def _size(made: Probe) -> int:
    return len(msgspec.json.encode(made))


def _depths(trace: Trace) -> list[int]:
    found: list[int] = []
    for call in trace.calls:
        found.append(0 if call.parent == ABSENT else found[call.parent] + 1)
    return found


def _kept(made: Probe, numbers: list[int]) -> Probe:
    """The record with some of its calls, and with what only the others refer to left out."""
    trace, places = made.trace, {number: place for place, number in enumerate(numbers)}
    calls = [trace.calls[number] for number in numbers]
    prints = {at: place for place, at in enumerate(dict.fromkeys(at for c in calls for at in (*c.given, *c.gave)))}
    rows = tuple(
        CallRecord(
            call.module,
            places.get(call.parent, ABSENT),
            call.inputs,
            tuple(prints[at] for at in call.given),
            call.outputs,
            tuple(prints[at] for at in call.gave),
        )
        for call in calls
    )
    cut = Trace(trace.outputs, trace.modules, trace.forms, tuple(trace.prints[at] for at in prints), rows, True, trace.raised)
    noisy = "".join(made.noisy[number] for number in numbers) if made.noisy else ""
    return msgspec.structs.replace(made, trace=cut, noisy=noisy)
