"""The header of a safetensors file, checked completely before any of it is handed out.

Names stand once, dtypes are known, shapes fit their byte ranges, and ranges follow each other without gap or overlap. Whether the
bytes behind the header are all there is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from intact.containers.json_members import decoder, members
from intact.containers.shown import shown, shown_list
from intact.core.lost import Lost
from intact.errors import Damaged
from intact.files.reading import BoundedFile

LENGTH_BYTES = 8
"""Little-endian unsigned length of the header, at the begin of the file."""

HEADER_LIMIT_BYTES = 100_000_000
"""Largest header that the reference reader accepts (`MAX_HEADER_SIZE`)."""

RANK_LIMIT = 64
"""Most dimensions of a tensor; numpy and torch stop there."""

PROBLEMS_LISTED = 20
"""How many contradictions of a header an error lists as evidence; the count is always complete."""

METADATA = "__metadata__"

_BITS = {
    "BOOL": (8, "bool"),
    "F4": (4, "F4"),
    "F6_E2M3": (6, "F6_E2M3"),
    "F6_E3M2": (6, "F6_E3M2"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "I16": (16, "int16"),
    "U16": (16, "uint16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "I32": (32, "int32"),
    "U32": (32, "uint32"),
    "F32": (32, "float32"),
    "C64": (64, "complex64"),
    "F64": (64, "float64"),
    "I64": (64, "int64"),
    "U64": (64, "uint64"),
}
"""Name in the file to bits of one element and name in torch. Source: `Dtype` in safetensors 0.8.0."""

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Entry(msgspec.Struct, frozen=True):
    """One member of the header, as the format writes it."""

    dtype: str
    shape: Annotated[list[_Size], msgspec.Meta(max_length=RANK_LIMIT)]
    data_offsets: tuple[_Size, _Size]


_entry = decoder(_Entry)
_texts = decoder(dict[str, str])

_QUOTES_OF_AN_ENTRY = 8
"""Three names and one string: an entry with more quotes has other members, or one of them twice."""


class Span(NamedTuple):
    """One tensor of a checked header; a tuple, because a header may hold tens of thousands.

    Attributes:
        dtype: As torch spells it.
        shape: In elements.
        begin: First byte, from the begin of the data.
        end: One past the last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(file: BoundedFile, lost: Lost | None = None) -> tuple[int, Mapping[str, Span], Mapping[str, str]]:
    """Returns where the data begin, the tensors in the order of their bytes, and the metadata; missing data are not asked after.

    Args:
        file: The file.
        lost: Takes the tensors that contradict the format, where the others are wanted; an error tells of them without it.

    Raises:
        Damaged: The header ends beyond the file (`file/truncated`) or contradicts itself (`file/bad-header`).
    """
    length = int.from_bytes(file.view(0, LENGTH_BYTES, what="the length of the header"), "little")
    if length > HEADER_LIMIT_BYTES:
        raise _bad_header(file, f"the header declares {length} bytes of itself, and {HEADER_LIMIT_BYTES} are the limit")
    begin = LENGTH_BYTES + length
    text = file.view(LENGTH_BYTES, begin, what="the header")
    try:
        raw = dict(members(text))
    except ValueError as error:
        raise _bad_header(file, f"the header is no valid JSON object: {error}") from None
    metadata = _metadata_of(file, raw.pop(METADATA, None))
    return begin, _spans_of(file, raw, lost), metadata


def _metadata_of(file: BoundedFile, raw: msgspec.Raw | None) -> Mapping[str, str]:
    if raw is None or bytes(raw) == b"null":
        return {}
    try:
        members(raw)
        return _texts(raw)
    except ValueError as error:
        raise _bad_header(file, f"`{METADATA}` is no mapping of text to text: {error}") from None


def _spans_of(file: BoundedFile, raw: Mapping[str, msgspec.Raw], lost: Lost | None) -> Mapping[str, Span]:
    """Returns all tensors in the order of their bytes, or raises with every contradiction there is."""
    spans: dict[str, Span] = {}
    problems: dict[str, str] = {}
    for key, value in raw.items():
        try:
            spans[key] = _span(value)
        except ValueError as error:  # noqa: PERF203 - every entry is judged, so that one error names them all
            problems[key] = f"`{shown(key)}`: {error}"
    ordered = dict(sorted(spans.items(), key=lambda item: item[1][2:]))
    if not problems:
        problems = _misplaced(ordered)
    if problems and lost is None:
        raise _bad_header(file, *problems.values(), keys=tuple(problems))
    if lost is not None:
        problems.update(_overlapping(ordered))
        lost.keys.update(problems)
        return {key: span for key, span in ordered.items() if key not in problems}
    return ordered


def _span(raw: msgspec.Raw) -> Span:
    """Returns one tensor whose shape fits its byte range.

    Raises:
        ValueError: It does not, or the entry has another form; the message says how.
    """
    if bytes(raw).count(b'"') != _QUOTES_OF_AN_ENTRY:
        members(raw)
    entry = _entry(raw)
    if entry.dtype not in _BITS:
        raise ValueError(f"the dtype {entry.dtype!r} is not one of the format")
    bits, dtype = _BITS[entry.dtype]
    begin, end = entry.data_offsets
    elements = _elements(entry.shape)
    if begin > end or elements * bits != (end - begin) * 8:
        raise ValueError(
            f"shape {entry.shape} of {entry.dtype} takes {_bytes_text(elements * bits)}, "
            f"and its byte range [{begin}, {end}) holds {end - begin}"
        )
    return Span(*_as_torch(dtype, tuple(entry.shape)), begin, end)


def _elements(shape: Sequence[int]) -> int:
    """Returns the product of the sizes, stopping where no file could hold as many.

    Raises:
        ValueError: It would be 2**63 or more.
    """
    count = 0 if 0 in shape else 1
    for size in shape:
        count *= size
        if count >= 2**63:
            raise ValueError(f"shape {list(shape)} has more elements than any file can hold")
    return count


def _as_torch(dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The file counts four-bit numbers one by one, torch counts the bytes that hold two of them."""
    if dtype == "F4" and shape and shape[-1] % 2 == 0:
        return "float4_e2m1fn_x2", (*shape[:-1], shape[-1] // 2)
    return dtype, shape


def _bytes_text(bits: int) -> str:
    return f"{bits // 8} bytes" if bits % 8 == 0 else f"{bits} bits"


def _misplaced(ordered: Mapping[str, Span]) -> dict[str, str]:
    """Returns what is wrong with the order of the byte ranges, by key."""
    problems: dict[str, str] = {}
    previous, reached = "", 0
    for key, (_, _, begin, end) in ordered.items():
        if begin != reached:
            problems[key] = _misplacement(key, begin, end, previous, reached)
        if end >= reached:
            previous, reached = key, end
    return problems


def _overlapping(ordered: Mapping[str, Span]) -> Iterator[tuple[str, str]]:
    """Yields the tensors that share bytes with another one: of two that claim a byte, nobody can say whose it is."""
    reached, holder = 0, ""
    for key, (_, _, begin, end) in ordered.items():
        if begin < reached and begin < end:
            why = f"`{shown(holder)}` and `{shown(key)}` overlap: both claim the bytes [{begin}, {min(reached, end)})"
            yield from ((holder, why), (key, why))
        if end > reached:
            reached, holder = end, key


def _misplacement(key: str, begin: int, end: int, previous: str, reached: int) -> str:
    before = f"`{shown(previous)}`" if previous else "the header"
    if begin < reached:
        return f"{before} and `{shown(key)}` overlap: the bytes [{begin}, {min(reached, end)}) belong to both"
    return f"`{shown(key)}` begins {begin - reached} bytes behind the end of {before}: a gap, which the format forbids"


def _bad_header(file: BoundedFile, *problems: str, keys: tuple[str, ...] = ()) -> Damaged:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Damaged(
        problems[0] + more,
        code="file/bad-header",
        path=str(file.path),
        evidence={
            "problems": list(problems[:PROBLEMS_LISTED]),
            "problem_count": len(problems),
            "keys": shown_list(keys, PROBLEMS_LISTED),
        },
        help="fetch the file again, or write it again with the program that made it",
    )


def format_dtypes() -> Mapping[str, str]:
    """Returns the name that the format has for each dtype of torch."""
    return {dtype: name for name, (bits, dtype) in _BITS.items() if bits >= 8}
