"""Blocks that stand in a file twice: a write that went to another place than it should, or went there again.

A disk, a cache or a transfer that puts a block at a wrong place leaves the same bytes at two places, which begin and end where
blocks of the file do. What is there twice by design (a copy of a tensor, the first rows of a resized one, a table that repeats)
ends where tensors or rows do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, TensorRecord
from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.wording import some
from intact.errors import IntactError
from intact.files.progress import working

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 512
LARGE_BLOCK_BYTES = 4096
LARGE_BYTES = 4 << 30
"""From this size on blocks of a page are looked for: eight bytes are kept of each."""
MOST_CANDIDATES = 1 << 15
"""With more blocks that may be there twice, a file repeats itself by design."""
LEAST_VALUES = 16
"""Different values that a block needs; masks and tables of a few have equal blocks by themselves."""
LARGEST_SHARE = 0.25
"""Of a tensor's blocks; what repeats more, and more than a few, is made so."""
FEW = 16


@dataclass(frozen=True, slots=True)
class _Held:
    """The bytes of one tensor, and where they stand."""

    key: str
    raw: NDArray[np.uint8]
    file: str
    place: int
    width: int
    row: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring blocks of one tensor that are those of another, or of other ones of the same."""

    one: int
    other: int
    begin: int
    end: int
    other_begin: int


def repeats_in(container: Container) -> dict[str, str]:
    """Returns the tensors with a block that was put where it does not belong, or was taken from, and what speaks for it.

    Args:
        container: Open.
    """
    held = list(_held(container))
    unit = BLOCK_BYTES if sum(len(one.raw) for one in held) <= LARGE_BYTES else LARGE_BLOCK_BYTES
    found: dict[str, str] = {}
    for run in _runs(held, unit):
        one, other = held[run.one], held[run.other]
        if _is_misplaced(one, other, run, unit):
            a, b = one.place + run.begin, other.place + run.other_begin
            length = run.end - run.begin
            for mine, theirs, at, there in ((one, other, a, b), (other, one, b, a)):
                found.setdefault(
                    mine.key,
                    f"the bytes [{at:,}, {at + length:,}) of the file stand also at [{there:,}, {there + length:,})"
                    f"{f', in `{theirs.key}`' if theirs.key != mine.key else ''}: one of the two was written over",
                )
    return found


def doubled(container: Container) -> Iterator[Finding]:
    """Yields the tensors with blocks that stand in the file twice, as one finding."""
    found = repeats_in(container)
    if found:
        mine = [key for key in container.describe().tensors if key in found]
        yield Finding(
            "value/repeated-block",
            "warning",
            f"{some(mine)}: {found[mine[0]]}",
            tuple(mine),
            {"tensors": {key: found[key] for key in mine[:100]}},
            cause="a block of the file was written to a wrong place, or twice: the equal bytes begin and end where its blocks do",
            help="fetch or copy the file again, or compare it with the original; intact salvage FILE gets the other tensors out",
        )


def _held(container: Container) -> Iterator[_Held]:
    import numpy as np

    seen: set[object] = set()
    for key in container.describe().tensors:
        record = container.record(key)
        known = dtype_named(record.dtype)
        if known is None or known.kind != "float" or record.memory in seen or not _stands_there(record):
            continue
        seen.add(record.memory)
        assert record.storage is not None
        begin, end = record.span_bytes
        try:
            raw = np.frombuffer(container.storage_bytes(record.storage)[begin:end], np.uint8)
        except IntactError:
            continue  # what is not there is told by whoever needs it
        if len(raw) > BLOCK_BYTES:
            row = known.itemsize_bytes * (record.shape[-1] if record.shape else 1)
            yield _Held(key, raw, record.storage.file, record.storage.begin + begin, known.itemsize_bytes, row)


def _stands_there(record: TensorRecord) -> bool:
    return record.layout == "strided" and record.storage is not None and record.contiguous and record.storage.begin >= 0


def _runs(held: list[_Held], unit: int) -> Iterator[_Run]:
    """Yields neighbouring blocks together, each with the first place where the same bytes stand."""
    again = _equal_blocks(held, unit)
    shares = Counter(owner for pair in again.items() for owner, _ in pair)
    usual = {owner for owner, number in shares.items() if number > max(FEW, LARGEST_SHARE * len(held[owner].raw) / unit)}
    run: _Run | None = None
    for (one, at), (other, there) in sorted(again.items()):
        if one in usual or other in usual:
            continue
        if run is not None and (run.one, run.other, run.end) == (one, other, at) and there - run.other_begin == at - run.begin:
            run = _Run(one, other, run.begin, at + unit, run.other_begin)
            continue
        if run is not None:
            yield run
        run = _Run(one, other, at, at + unit, there)
    if run is not None:
        yield run


def _equal_blocks(held: list[_Held], unit: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Blocks of the file that are equal to an earlier one: number of the tensor and place in it, for both."""
    import numpy as np

    marks, owners = [], []
    with working("looking for damage", sum(len(one.raw) for one in held)) as advance:
        for number, one in enumerate(held):
            first = -one.place % unit
            whole = (len(one.raw) - first) // unit
            if whole > 0:
                marks.append(one.raw[first : first + whole * unit].reshape(-1, unit)[:, :8].copy().view(np.uint64)[:, 0])
                owners.append((number, first, whole))
            advance(len(one.raw))
    if not marks:
        return {}
    every = np.concatenate(marks)
    ordered = np.sort(every)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    twice = np.unique(twice[twice != 0])
    if not len(twice):
        return {}
    candidates = np.flatnonzero(np.isin(every, twice))
    if len(candidates) > MOST_CANDIDATES:
        return {}
    starts = np.cumsum([0, *(whole for _, _, whole in owners)])
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for index in candidates.tolist():
        row = int(np.searchsorted(starts, index, "right")) - 1
        number, first, _ = owners[row]
        at = first + (index - int(starts[row])) * unit
        places[held[number].raw[at : at + unit].tobytes()].append((number, at))
    return {
        place: rows[0]
        for content, rows in places.items()
        if len(rows) > 1 and _has_many_values(content, held[rows[0][0]].width)
        for place in rows[1:]
        if _where(held, place) != _where(held, rows[0])
    }


def _where(held: list[_Held], place: tuple[int, int]) -> tuple[str, int]:
    return held[place[0]].file, held[place[0]].place + place[1]


def _has_many_values(content: bytes, width: int) -> bool:
    return len({content[at : at + width] for at in range(0, len(content), width)}) >= LEAST_VALUES


def _is_misplaced(one: _Held, other: _Held, run: _Run, unit: int) -> bool:
    """Whether equal bytes begin and end where blocks of the file do, and neither where tensors nor where rows do."""
    before = _equal_before(one.raw[: run.begin], other.raw[: run.other_begin], unit)
    other_end = run.other_begin + run.end - run.begin
    after = _equal_after(one.raw[run.end :], other.raw[other_end:], unit)
    edges = [(run.begin, run.other_begin, before), (run.end, other_end, after)]
    inner = [edge for edge in edges if edge[2] is not None]
    if not inner or any(more is None or more >= max(one.width, other.width) for _, _, more in inner):
        return False
    return not all(_near(a, one) and _near(b, other) for a, b, _ in inner)


def _near(position: int, held: _Held) -> bool:
    """Whether a position is that of a row's boundary."""
    away = position % held.row
    return away < held.width or held.row - away < held.width


def _equal_before(one: NDArray[Any], other: NDArray[Any], most: int) -> int | None:
    return _equal_after(one[::-1][:most], other[::-1][:most], most)


def _equal_after(one: NDArray[Any], other: NDArray[Any], most: int) -> int | None:
    """How many more bytes are equal; None where one side ends before they differ."""
    import numpy as np

    length = min(len(one), len(other), most)
    differing = np.flatnonzero(one[:length] != other[:length])
    if len(differing):
        return int(differing[0])
    return None if length < most else length
