"""Digests that stand in the name of a file, in the cache of a hub, or in a small file beside it: checked without any network.

Some of them are promises and some are guesses. A blob of a hub's cache is named by its digest, and a side file names the file
it is of: what does not agree is damaged. Eight digits in the name of a file may be the begin of a SHA-256, as torch's hub
writes it, or a date or the number of a run: they can only confirm, except in the hub's own folder.

Source:
    torch 2.13 `hub.py` (`HASH_REGEX`, `download_url_to_file`); huggingface_hub 1.1 `file_download.py`; `sha256sum --check`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from intact.core.description import Source
from intact.core.finding import Finding
from intact.core.wording import count

CHEAP_BYTES = 256 << 20
"""Files up to this size are digested by `check` too; `verify` digests all."""
SIDE_FILE_LIMIT_BYTES = 1 << 20
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z][\w.]*$")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LINE = re.compile(r"^\\?([0-9A-Fa-f]{32,128})(?:\s+[ *]?(.+))?$")
_LISTS = ("SHA256SUMS", "sha256sums.txt", "SHA256SUMS.txt", "checksums.txt", "MD5SUMS", "checksum.sha256")


@dataclass(frozen=True, slots=True)
class Claim:
    """A digest that a file should have.

    Attributes:
        file: The file.
        algorithm: Of the digest; `git-sha1` for that of a git object.
        digits: In hexadecimal, all or the first of them.
        where: Where it stands, as a report says it.
        certain: Whether a file that does not have it is damaged.
    """

    file: Path
    algorithm: str
    digits: str
    where: str
    certain: bool


def claims_of(source: Source) -> tuple[Claim, ...]:
    """Returns the digests that the files of a checkpoint should have."""
    place = Path(source.path)
    folder = place if place.is_dir() else place.parent
    return tuple(claim for name in source.files for claim in _of_file(folder / name))


def findings_of_claims(claims: Iterable[Claim]) -> tuple[tuple[Finding, ...], frozenset[Path], int]:
    """Returns what does not agree, the files that do, and how many bytes were read."""
    wrong: list[tuple[Claim, str]] = []
    right: set[Path] = set()
    read_bytes = 0
    by_file: dict[tuple[Path, str], str] = {}
    for claim in claims:
        key = (claim.file, claim.algorithm)
        if key not in by_file:
            by_file[key] = digest_of(claim.file, claim.algorithm)
            read_bytes += claim.file.stat().st_size
        if by_file[key].startswith(claim.digits):
            right.add(claim.file)
        elif claim.certain:
            wrong.append((claim, by_file[key]))
    found = tuple(_mismatch(wrong)) if wrong else ()
    return found, frozenset(right - {claim.file for claim, _ in wrong}), read_bytes


def _mismatch(wrong: list[tuple[Claim, str]]) -> Iterator[Finding]:
    claim, digits = wrong[0]
    more = f", and {count(len(wrong) - 1, 'other file')}" if len(wrong) > 1 else ""
    yield Finding(
        "file/checksum-mismatch",
        "error",
        f"`{claim.file.name}` does not have the {claim.algorithm} that {claim.where} has: {digits[:16]}…, and "
        f"{claim.digits[:16]}… was expected{more}",
        evidence={
            "files": [
                {"file": str(c.file), "algorithm": c.algorithm, "expected": c.digits, "found": found, "where": c.where}
                for c, found in wrong[:100]
            ]
        },
        cause="the download or the copy was damaged, or the file was changed or replaced after its digest was taken",
        help="fetch the file again; if the new content is meant, the digest beside it is out of date",
    )


def digest_of(path: Path, algorithm: str) -> str:
    """Returns the digest of a file, in hexadecimal."""
    if algorithm == "git-sha1":
        machine = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        machine = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            machine.update(block)
    return machine.hexdigest()


def _of_file(path: Path) -> Iterator[Claim]:
    try:
        real = path.resolve()
        if not path.is_file():
            return
    except OSError:
        return
    yield from _of_blob(path, real)
    yield from _of_name(path)
    yield from _of_side_files(path)


def _of_blob(path: Path, real: Path) -> Iterator[Claim]:
    """The cache of the Hugging Face hub: large files by their SHA-256, small ones by the name that git has for them."""
    if real.parent.name == "blobs" and _BLOB.fullmatch(real.name):
        algorithm = "sha256" if len(real.name) == 64 else "git-sha1"
        yield Claim(path, algorithm, real.name, "its name in the cache of the hub", certain=True)


def _of_name(path: Path) -> Iterator[Claim]:
    match = _IN_NAME.search(path.name)
    if match:
        in_hub = path.parent.name == "checkpoints" and path.parent.parent.name == "hub"
        yield Claim(path, "sha256", match[1], "its own name", certain=in_hub and not match[1].isdigit())


def _of_side_files(path: Path) -> Iterator[Claim]:
    for ending in (".sha256", ".sha256sum", ".md5", ".md5sum", ".sha512", ".sha1"):
        yield from _of_list(path, path.with_name(path.name + ending), alone=True)
    for name in _LISTS:
        yield from _of_list(path, path.with_name(name), alone=False)


def _of_list(path: Path, place: Path, *, alone: bool) -> Iterator[Claim]:
    """Yields what a list says of a file; a side file of one line without a name speaks of the file it is named after."""
    try:
        if not place.is_file() or place.stat().st_size > SIDE_FILE_LIMIT_BYTES:
            return
        lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines[:10_000]:
        match = _LINE.match(line.strip())
        if match is None or len(match[1]) not in _LENGTHS:
            continue
        name = (match[2] or "").strip()
        if (alone and (not name or os.path.basename(name) == path.name)) or name in (path.name, f"./{path.name}"):
            yield Claim(path, _LENGTHS[len(match[1])], match[1].lower(), f"`{place.name}`", certain=True)
