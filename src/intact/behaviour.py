"""Two runs of a model side by side: equal, within rounding, or different, and then the module where they part.

Rounding is not a fixed tolerance. It begins at the last bits of a dtype and grows with depth, so each tensor is allowed what a
few layers make of the differences before it. Where a difference is larger than that, it did not grow: it arose, and the module
whose code was running then is where the runs part. Nothing here looks at a model, only at what was recorded of two runs.
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from intact.core.behaviour import Gap, Parting, Replay
from intact.core.probe import Fingerprint, Noise, Output, Place, Trace

if TYPE_CHECKING:
    import numpy

LAST_BITS: dict[str, float] = {
    "float64": 1e-12,
    "complex128": 1e-12,
    "float32": 4e-6,
    "complex64": 4e-6,
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
}
"""Relative distance that another kernel makes in one layer: measured at most 8e-7 for float32 between attention kernels, memory
layouts and numbers of threads, with sums of up to 4096 terms; of half precisions `rtol` of `torch.testing`."""

SMALL = 1e-4
"""Relative distance below which an output may pass by the tolerance of `torch.testing`: its `atol` alone would let any output of
small numbers pass."""

COARSE = 6.4e-2
"""The same for the dtypes of eight bits and less."""

OTHER_DEVICE = 1e-3
"""The same between two kinds of devices: ten bits of TF32, which convolutions in float32 have on GPUs unless told otherwise."""

GROWTH = 30.0
"""By how much one module may enlarge the relative distance of what it is given; a LayerNorm over nearly equal values comes to
ten."""

MOST_GROWN: dict[str, float] = {"float64": 1e-4, "float32": 1e-2, "complex64": 1e-2, "complex128": 1e-4}
"""Relative distance of outputs from which on they are called different, even where it grew from rounding."""

MOST_GROWN_COARSE = 0.3

TESTING: dict[str, tuple[float, float]] = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
"""`rtol` and `atol` of `torch.testing.assert_close`.

Source:
    `_DTYPE_PRECISIONS` in `torch/testing/_comparison.py`, torch 2.13.
"""


def replayed(recorded: Trace, now: Trace, noisy: str = "", unsteady: Collection[str] = (), slack: float = 0.0) -> Replay:
    """Returns what a replay shows.

    Args:
        recorded: The run when the model was saved.
        now: The same inputs through the model with the file's weights.
        noisy: Marks of the calls that come out otherwise in every run.
        unsteady: Names of the outputs that do.
        slack: Relative distance that is rounding whatever the dtype, because the runs were on different devices.
    """
    if now.raised:
        return Replay("equal" if recorded.raised == now.raised else "raised", raised=now.raised)
    walk = _Walk(recorded, now, noisy, slack)
    parting = walk.parting()
    ignored = set(unsteady) if parting is None and walk.noise != "repeated" else set()
    gaps = tuple(_gaps(recorded, now, ignored))
    if not gaps:
        return Replay("equal", parting, walk.first_bits)
    wide = {gap.name for gap in gaps if _is_wide(gap, parting is not None, slack + GROWTH * walk.grown)}
    ordered = tuple(sorted(gaps, key=lambda gap: gap.name not in wide))
    return Replay("different" if wide else "rounding", parting, walk.first_bits, ordered)


def without_noise(recorded: Trace, now: Trace, again: Trace) -> tuple[Replay | None, Noise | None]:
    """Returns what a replay shows beside what the model itself does not repeat; nothing where it repeats everything.

    Args:
        recorded: The run when the model was saved.
        now: The replay.
        again: The replay once more, with another seed.
    """
    marks, unsteady, noise = noise_of(now, again)
    if noise is None:
        return None, None
    return replayed(now, recorded, marks, unsteady), noise


def noise_of(one: Trace, other: Trace) -> tuple[str, tuple[str, ...], Noise | None]:
    """Returns the calls and the outputs that two runs of one model do not agree in, and where that begins."""
    walk = _Walk(one, other)
    marks = "".join(str(mark) for mark in walk.marks())
    gaps = list(_gaps(one, other, set()))
    if not gaps and not marks.strip("0"):
        return "", (), None
    walk.parting()
    first = walk.first_bits or Parting("", one.modules[0][1] if one.modules else "", 0.0)
    unsteady = tuple(gap.name for gap in gaps)
    return marks, unsteady, Noise(first.path, first.class_name, max((gap.relative for gap in gaps), default=0.0))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Returns the relative distance of two tensors, an estimate; infinite where shapes or odd elements differ."""
    if one.digest and (one.dtype, one.shape, one.digest) == (other.dtype, other.shape, other.digest):
        return 0.0
    if one.shape != other.shape or one.odd != other.odd or bool(one.sketch) != bool(other.sketch):
        return math.inf
    if not one.sketch:
        return 0.0 if one.digest == other.digest or not (one.digest and other.digest) else math.inf
    then, now = _numbers(one.sketch), _numbers(other.sketch)
    size = max(abs(float(then[0])), abs(float(now[0])))
    apart = math.sqrt(float(((then[1:] - now[1:]) ** 2).mean()))
    return apart / size if size else 0.0


def _numbers(sketch: str) -> numpy.ndarray[Any, Any]:
    import numpy as np

    content = base64.b64decode(sketch)
    return np.frombuffer(content, "<f8" if len(content) > 50 else "<f4").astype(np.float64)


class _Walk:
    """One pass over what happened in a run, each event beside the same event of the recorded run.

    Attributes:
        first_bits: Where the first bit differs.
        grown: The largest distance among what is explained by rounding.
        noise: Whether what differs in every run is repeated here, as the seed promises; the first of it tells.
    """

    def __init__(self, recorded: Trace, now: Trace, noisy: str = "", slack: float = 0.0) -> None:
        self._recorded, self._now, self._noisy, self._slack = recorded, now, noisy, slack
        self._then = _by_turn(recorded)
        self._turns = {number: turn for turn, number in _by_turn(now).items()}
        self.first_bits: Parting | None = None
        self.grown = 0.0
        self.noise: Literal["not met", "repeated", "other"] = "not met"

    def parting(self) -> Parting | None:
        """Returns where the runs part by more than rounding."""
        last = ""
        for place, number in self._now.events():
            number_then = self._then.get(self._turns[number])
            if number_then is not None:
                found = self._event(place, number, number_then, last)
                if found is not None:
                    return found
            last = self._path(number) if place == "outputs" else last
        return None

    def marks(self) -> Iterator[int]:
        """Yields for each recorded call whether its inputs (1), its outputs (2) or both (3) differ."""
        now = {turn: number for number, turn in self._turns.items()}
        for turn, number in sorted(self._then.items(), key=lambda row: row[1]):
            if turn not in now:
                yield 3
                continue
            pairs = (self._pairs(place, now[turn], number) for place in _PLACES)
            yield sum(weight for weight, rows in zip((1, 2), pairs, strict=True) if any(distance(*row) for row in rows))

    def _event(self, place: Place, number: int, number_then: int, last: str) -> Parting | None:
        rows = [(one, other) for one, other in self._pairs(place, number, number_then) if not _equal(one, other)]
        noisy = bool(self._noisy) and bool(int(self._noisy[number_then]) & (1 if place == "inputs" else 2))
        if noisy and self.noise == "not met":
            self.noise = "other" if rows else "repeated"
        if not rows or (noisy and self.noise == "other"):
            return None
        found = self._parting(place, number, rows, last)
        self.first_bits = self.first_bits or found
        if any(distance(*row) > self._allowed(*row) for row in rows):
            return found
        self.grown = max(self.grown, found.difference)
        return None

    def _allowed(self, one: Fingerprint, other: Fingerprint) -> float:
        return max(last_bits(one.dtype), last_bits(other.dtype)) + self._slack + GROWTH * self.grown

    def _parting(self, place: Place, number: int, rows: list[tuple[Fingerprint, Fingerprint]], last: str) -> Parting:
        call = self._now.calls[number]
        widest = max(distance(*row) for row in rows)
        if place == "outputs":
            path, class_name = self._now.modules[call.module]
            inner = any(other.parent == number for other in self._now.calls[number + 1 : number + 2])
            return Parting(path, class_name, widest, "", last if inner else "")
        path, class_name = self._now.modules[self._now.calls[max(call.parent, 0)].module]
        return Parting(path, class_name, widest, self._path(number), last)

    def _path(self, number: int) -> str:
        return self._now.modules[self._now.calls[number].module][0]

    def _pairs(self, place: Place, number: int, number_then: int) -> Iterator[tuple[Fingerprint, Fingerprint]]:
        then = self._recorded.leaves(place, self._recorded.calls[number_then])
        now = self._now.leaves(place, self._now.calls[number])
        return ((one, now[name]) for name, one in then.items() if name in now)


_PLACES: tuple[Place, Place] = ("inputs", "outputs")


def _by_turn(trace: Trace) -> dict[tuple[str, int], int]:
    """Places of calls by path of the module and how often it was called before."""
    turns: dict[str, int] = defaultdict(int)
    found = {}
    for number, call in enumerate(trace.calls):
        path = trace.modules[call.module][0]
        found[(path, turns[path])] = number
        turns[path] += 1
    return found


def _equal(one: Fingerprint, other: Fingerprint) -> bool:
    return bool(one.digest) and (one.digest, one.shape, one.dtype) == (other.digest, other.shape, other.dtype)


def last_bits(dtype: str) -> float:
    """Returns the relative distance that another kernel makes in one layer; none for numbers that are exact."""
    return 0.0 if _is_exact(dtype) else LAST_BITS.get(dtype, COARSE)


def _is_exact(dtype: str) -> bool:
    return dtype == "bool" or dtype.startswith(("int", "uint"))


def _gaps(recorded: Trace, now: Trace, ignored: set[str]) -> Iterator[Gap]:
    here = {output.name: output for output in now.outputs}
    for output in recorded.outputs:
        other = here.get(output.name)
        if other is None:
            yield Gap(output.name, math.inf, reason="it is not there any more")
        elif output.name not in ignored and not _equal(output.fingerprint, other.fingerprint):
            gap = _gap(output, other)
            if gap.relative or gap.reason:
                yield gap


def _gap(then: Output, now: Output) -> Gap:
    one, other = then.fingerprint, now.fingerprint
    if one.shape != other.shape:
        return Gap(then.name, math.inf, reason=f"the shape was {list(one.shape)} and is {list(other.shape)}")
    if not one.sketch or not other.sketch:
        same_kind = one.dtype == other.dtype and not (one.digest and other.digest)
        reason = "" if same_kind else f"it was {then.values[:60]} and is {now.values[:60]}"
        return Gap(then.name, 0.0 if same_kind else math.inf, reason=reason)
    coarser = max(one.dtype, other.dtype, key=last_bits)
    relative, atol = distance(one, other), TESTING.get(coarser, (0.0, 0.0))[1]
    wide = one.dtype == "float64" or _is_exact(one.dtype)
    found = _elementwise(then.values, now.values, "<f8" if wide else "<f4", atol)
    if found is None:
        reason = "" if relative < math.inf else "other elements are no numbers"
        return Gap(then.name, relative, atol=atol, dtype=coarser, reason=reason)
    absolute, tolerance, norm = found
    return Gap(then.name, norm if norm > 0 else relative, absolute, tolerance, atol, coarser)


def _elementwise(then: str, now: str, kind: str, atol: float) -> tuple[float, float, float] | None:
    """Largest difference, smallest `rtol` that passes, and relative norm of the difference."""
    import numpy as np

    if not then or len(then) != len(now):
        return None
    one, other = (_values(text, kind) for text in (then, now))
    if not one.size or one.shape != other.shape or not (np.isfinite(one) == np.isfinite(other)).all():
        return None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.where(one == other, 0.0, np.abs(one - other))
        apart = np.where(np.isnan(apart), 0.0, apart)
        beyond = np.maximum(apart - atol, 0.0)
        needed = np.where(beyond > 0, beyond / np.abs(one), 0.0)
        sizes = np.where(np.isfinite(one), one, 0.0)
        norm = float(np.linalg.norm(apart) / (np.linalg.norm(sizes) or 1.0))
    return float(apart.max()), float(needed.max()), norm


def _values(text: str, kind: str) -> numpy.ndarray[Any, Any]:
    import numpy as np

    try:
        return np.frombuffer(base64.b64decode(text, validate=True), kind).astype(np.float64)
    except ValueError:  # from a file, and not what was written
        return np.zeros(0)


def _is_wide(gap: Gap, parted: bool, allowed: float) -> bool:
    """Whether an output is further away than rounding explains."""
    rtol = TESTING.get(gap.dtype, (0.0, 0.0))[0]
    if gap.reason or math.isinf(gap.relative):
        return True
    if not parted:
        return gap.relative > MOST_GROWN.get(gap.dtype, MOST_GROWN_COARSE)
    if gap.tolerance is not None and gap.tolerance <= rtol and gap.relative < SMALL:
        return False
    return gap.relative > last_bits(gap.dtype) + allowed


def summary(gaps: tuple[Gap, ...]) -> str:
    """Returns how far outputs are apart, as a clause for a report."""
    if not gaps:
        return "all outputs are equal, bit for bit"
    gap = gaps[0]
    name = f"`{gap.name}`" if gap.name else "the output"
    if gap.reason:
        return f"of {name}, {gap.reason}"
    text = f"{name} differs by {gap.relative:.1e} of its norm"
    if gap.absolute is None or gap.tolerance is None:
        return text
    return (
        f"{text}, at most {gap.absolute:.1e}; the smallest tolerance that passes is rtol={gap.tolerance:.1e}, atol={gap.atol:g}"
    )


def rows_of(gaps: tuple[Gap, ...]) -> list[Mapping[str, object]]:
    """Returns how far outputs are apart, as evidence."""
    return [
        {
            "output": g.name,
            "relative": g.relative,
            "absolute": g.absolute,
            "rtol": g.tolerance,
            "atol": g.atol,
            "reason": g.reason,
        }
        for g in gaps[:20]
    ]
