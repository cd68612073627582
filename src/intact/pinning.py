"""A whole checkpoint held against a value that is kept elsewhere: in a lock file, a release note, a signature.

The digests within a sealed checkpoint tell damage; whoever means to deceive can write them anew. Only a value that stands outside
of the file tells that, and only of a cryptographic function: BLAKE3, or SHA-256, which hubs and `sha256sum` print. A set is
pinned by the lines that `b3sum` prints for its files, so that no byte can move from one of them to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from intact.core.description import Source
from intact.core.finding import Finding
from intact.errors import CannotRead, IntactError
from intact.files.digests import bytes_digest, file_digest

ALGORITHMS = {"blake3": 64, "sha256": 64}
"""Name to hexadecimal digits."""


def pinned_value(source: Source, algorithm: str = "blake3") -> str:
    """Returns what a checkpoint can be pinned by: the algorithm and the digest of its file.

    Of a set it is the digest of what `b3sum INDEX SHARDS…` (or `sha256sum`) prints, in the order of the set.

    Raises:
        CannotRead: A file cannot be read.
    """
    place = Path(source.path)
    try:
        if len(source.files) <= 1:
            return f"{algorithm}:{file_digest(place, algorithm)}"
        lines = (_line(file_digest(place.parent / name, algorithm), name) for name in source.files)
        return f"{algorithm}:{bytes_digest(''.join(lines).encode('utf-8', 'surrogateescape'), algorithm)}"
    except OSError as error:
        raise CannotRead(f"cannot be read: {error.strerror or error}", path=str(error.filename or place)) from error


def _line(digits: str, name: str) -> str:
    """Returns what `b3sum` and `sha256sum` print for a file; a name with a line feed is escaped, as they do."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digits}  {escaped}\n"


def expected_value(text: str) -> str:
    """Returns a pinned value in its usual form.

    Raises:
        IntactError: It is none.
    """
    algorithm, _, digits = text.strip().lower().rpartition(":")
    algorithm = algorithm or "blake3"
    if ALGORITHMS.get(algorithm) != len(digits) or set(digits) - set("0123456789abcdef"):
        raise IntactError(
            f"{text!r} is no pinned value", help="it reads blake3:HEX or sha256:HEX, as `intact verify --full` prints it"
        )
    return f"{algorithm}:{digits}"


def held_against(source: Source, expect: str) -> Sequence[Finding]:
    """Returns a finding where a checkpoint is not the one that was pinned.

    Raises:
        IntactError: The pinned value is none.
        CannotRead: A file cannot be read.
    """
    wanted = expected_value(expect)
    found = pinned_value(source, wanted.partition(":")[0])
    if found == wanted:
        return ()
    finding = Finding(
        "file/checksum-mismatch",
        "error",
        f"it is not the checkpoint that was pinned: {found[:23]}…, and {wanted[:23]}… was expected",
        evidence={"found": found, "expected": wanted},
        cause="the file was replaced or changed after the value was taken",
        help="fetch the checkpoint again from where the value is from; if it was meant to change, pin the new value",
    )
    return (finding,)
