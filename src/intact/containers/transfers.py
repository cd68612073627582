"""Traces that a transfer left in a file: zeros where nothing arrived, text conversion, the name of an unfinished download.

These are asked only of files that no container could open, so that they may look at many bytes and be sure.
"""

from __future__ import annotations

import re

from intact.errors import Damaged, IntactError
from intact.files.reading import BoundedFile

SAMPLE_BYTES = 1 << 20
"""How much is looked at for traces of text conversion: thousands of bytes would do, and this takes a few milliseconds."""

ZERO_CHUNK_BYTES = 1 << 24
"""Most that is looked at in one piece for zeros."""

ZEROS_COUNTED_BYTES = 1 << 28
"""How many leading zeros are counted; a quarter of a gigabyte takes a fifth of a second."""

LEADING_ZEROS = 64
"""Zero bytes at the begin from which a missing block is the likely cause: no format here begins with as many."""

LINE_ENDS = 32
"""Line ends that must all look alike before chance is ruled out."""

HIGH_BYTES = 64
HIGH_SHARE = 0.1
"""Bytes above 7F, and their share, from which text in another language is ruled out; in converted weights it is two thirds."""

REPLACED = 8
"""Replacement characters from which conversion is certain: random bytes are no valid UTF-8 for long."""

_UNFINISHED = (
    ".part",
    ".partial",
    ".crdownload",
    ".filepart",
    ".aria2",
    ".incomplete",
    ".download",
    ".tmp",
    ".opdownload",
    ".!ut",
)

_BINARY = "transfer the file again in binary mode, and compare its size with the original"


def converted_as_text(file: BoundedFile) -> IntactError | None:
    """Returns the error that names a conversion of binary data as if they were text, or None."""
    sample = file.head(SAMPLE_BYTES)
    high = len(re.findall(rb"[\x80-\xff]", sample))
    replaced = sample.count(b"\xef\xbf\xbd")
    if replaced >= REPLACED and _is_utf8(sample):
        share = f"{replaced} replacement characters (EF BF BD) in the first {len(sample)} bytes"
        return _conversion(file, f"{share}: the bytes above 7F were replaced when it was decoded as text", {"replaced": replaced})
    if (
        high >= max(HIGH_BYTES, len(sample) * HIGH_SHARE)
        and not re.search(rb"[\xc4-\xff]", sample)
        and _is_utf8(sample)
        and _has_controls(sample)
    ):
        return _conversion(file, "its bytes above 7F were encoded as UTF-8: one byte became two", {"encoded": high // 2})
    feeds = sample.count(b"\n")
    if feeds >= LINE_ENDS and sample.count(b"\r\n") == feeds and _has_controls(sample):
        return _conversion(file, f"all {feeds} line feeds have a carriage return before them", {"line_feeds": feeds})
    return None


def _conversion(file: BoundedFile, trace: str, evidence: dict[str, int]) -> IntactError:
    return Damaged(
        f"it was transferred or saved as text, which changes binary data; {trace}",
        code="file/text-mode-transfer",
        path=str(file.path),
        evidence={**evidence, "size_bytes": file.size_bytes},
        help=_BINARY,
    )


def begins_with_zeros(file: BoundedFile) -> IntactError | None:
    """Returns the error that names a file without content or without its first block, or None."""
    zeros = _leading_zeros(file)
    if zeros < min(LEADING_ZEROS, file.size_bytes):
        return None
    if zeros == file.size_bytes:
        message = f"all of its {zeros} bytes are zero: nothing was ever written"
    else:
        at_least = "at least " if zeros >= ZEROS_COUNTED_BYTES else ""
        message = f"it begins with {at_least}{zeros} zero bytes: its header was never written"
    return Damaged(
        message,
        code="file/bad-header",
        path=str(file.path),
        evidence={"zero_bytes": zeros, "size_bytes": file.size_bytes},
        help="fetch the file again; zeros stand where a download or a disk reserved room and nothing arrived",
    )


def _leading_zeros(file: BoundedFile) -> int:
    """Counts zeros from the begin, in chunks that grow, so that an ordinary file costs one small look."""
    begin, chunk_bytes = 0, 4096
    while begin < min(file.size_bytes, ZEROS_COUNTED_BYTES):
        chunk = bytes(file.view(begin, min(begin + chunk_bytes, file.size_bytes)))
        begin += len(chunk) - len(rest := chunk.lstrip(b"\0"))
        if rest:
            break
        chunk_bytes = min(2 * chunk_bytes, ZERO_CHUNK_BYTES)
    return begin


def unfinished(file: BoundedFile) -> str:
    """Returns a sentence where the name says that a download did not finish, "" otherwise."""
    suffix = file.path.suffix.lower()
    return f"the name ends in {suffix}, as that of an unfinished transfer does" if suffix in _UNFINISHED else ""


def _is_utf8(sample: bytes) -> bool:
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 4
    return True


def _has_controls(sample: bytes) -> bool:
    return re.search(rb"[\x00-\x08\x0e-\x1f]", sample) is not None
