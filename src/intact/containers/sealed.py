"""The seal of a safetensors file: how its header is composed, and how it is held against the bytes.

The header begins with its own digest, so that it stands at a known place: XXH3-128 of the length field and the whole header, with
the digits of that digest taken as zeros. The digests of all chunks follow, in the order of the bytes, then the manifest.
Everything is checked before any of it is used; a seal that another program carried along while it wrote the file anew is no seal
of that file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from intact.containers.safetensors_header import HEADER_LIMIT_BYTES, LENGTH_BYTES, RANK_LIMIT
from intact.core.manifest import DIGESTS, HEADER, MANIFEST, VERSION, Manifest, UnknownVersion
from intact.errors import CannotRead, Damaged, IntactError
from intact.files.digests import ALGORITHM, DIGEST_BYTES, digest
from intact.files.reading import BoundedFile

_PLAIN_NAME = b'"' + HEADER.encode() + b'":"'

OWN_NAME = b'"' + HEADER.encode() + b'" :"'
"""The name of the digest as intact writes it. No other program puts the space there that JSON allows: whoever writes the same
metadata anew, in whatever order, writes another begin, and is not taken for damage."""

BEGIN = b'{"__metadata__":{' + OWN_NAME
"""How the header of a sealed file begins; its digest follows."""

INDEX_BEGIN = b'{"metadata":{' + OWN_NAME
"""How the index of a sealed set begins."""

DIGITS = 2 * DIGEST_BYTES
ZEROS = b"0" * DIGITS

ALIGNED_BYTES = 64
"""Where the tensors of a small file begin, as a multiple: the width of a cache line, enough for every dtype."""

PAGE_BYTES = 4096
"""The same for a large file: whole pages are copied and mapped fastest."""

LARGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file that is being written.

    Attributes:
        key: Its key.
        dtype: As the format names it (`F32`).
        shape: In elements.
        size_bytes: Of its elements.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Seal:
    """The seal of an opened file.

    Attributes:
        manifest: What it records.
        digests: Of all chunks, in the order of the bytes.
    """

    manifest: Manifest
    digests: bytes


class Header:
    """The header of a file that is being written: its size is known at once, its digests when the tensors are written.

    Args:
        entries: The tensors in the order of their bytes.
        manifest: What is recorded.
        chunk_count: How many digests there will be.

    Raises:
        IntactError: It would be larger than readers of the format accept.
    """

    def __init__(self, entries: Sequence[Entry], manifest: Manifest, chunk_count: int) -> None:
        room = "A" * (-(-chunk_count * DIGEST_BYTES // 3) * 4)
        metadata = {HEADER: ZEROS.decode(), DIGESTS: room, **manifest.to_metadata()}
        content: dict[str, Any] = {"__metadata__": metadata}
        position = 0
        for entry in entries:
            end = position + entry.size_bytes
            content[entry.key] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (position, end)}
            position = end
        text = with_own_name(msgspec.json.encode(content))
        align = PAGE_BYTES if position >= LARGE_BYTES else ALIGNED_BYTES
        text += b" " * (-(LENGTH_BYTES + len(text)) % align)
        if len(text) > HEADER_LIMIT_BYTES:
            raise IntactError(
                f"the header would have {len(text):,} bytes, and readers of the format accept {HEADER_LIMIT_BYTES:,}",
                help="save a set of smaller files (max_shard_bytes), or fewer and smaller entries that are no tensors",
            )
        self._bytes = bytearray(len(text).to_bytes(LENGTH_BYTES, "little") + text)
        self._room = (LENGTH_BYTES + len(BEGIN) + DIGITS + len(f'","{DIGESTS}":"'), len(room))
        self.data_bytes = position

    def __len__(self) -> int:
        """Bytes of the header, its length field included: where the tensors begin."""
        return len(self._bytes)

    def finished(self, digests: bytes) -> bytes:
        """Returns the header with its digests in it."""
        begin, room = self._room
        text = base64.b64encode(digests)
        assert len(text) == room
        self._bytes[begin : begin + room] = text
        own = digest(self._bytes).hex().encode()
        at = LENGTH_BYTES + len(BEGIN)
        self._bytes[at : at + DIGITS] = own
        return bytes(self._bytes)


def with_own_name(text: bytes) -> bytes:
    """Returns a JSON text that begins with the digest's place, begun as only intact begins it."""
    return text.replace(_PLAIN_NAME, OWN_NAME, 1)


def claims(metadata: Mapping[str, str]) -> bool:
    """Tells whether a file's metadata speak of a seal."""
    return MANIFEST in metadata or HEADER in metadata or DIGESTS in metadata


def is_own(header: memoryview, begin: bytes = BEGIN) -> bool:
    """Tells whether a header stands as intact writes it; other programs order and space it otherwise.

    Args:
        header: The JSON text, without the length field.
        begin: How such a text begins.
    """
    return bytes(header[: len(begin)]) == begin


def is_unchanged(content: memoryview, at: int) -> bool:
    """Tells whether bytes agree with the digest that stands in them.

    Args:
        content: All bytes that the digest covers.
        at: Where its digits stand.
    """
    whole = bytearray(content)
    own = bytes(whole[at : at + DIGITS])
    whole[at : at + DIGITS] = ZEROS
    return digest(whole).hex().encode() == own


def digests_in(metadata: Mapping[str, str]) -> bytes:
    """Returns the digests of a file's metadata.

    Raises:
        ValueError: They are malformed.
    """
    try:
        return base64.b64decode(metadata[DIGESTS].encode("ascii"), validate=True)
    except (KeyError, UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"the digests are malformed: {error}") from None


def problem_of(manifest: Manifest, digests: bytes, sizes: Mapping[str, int]) -> str:
    """Returns in what a manifest contradicts the tensors of its file, "" where it does not.

    Args:
        manifest: Of that file.
        digests: Of all chunks.
        sizes: Bytes of each tensor, by key.
    """
    wanted = sum(max(1, -(-size // manifest.chunk_bytes)) for size in sizes.values())
    if len(digests) != wanted * DIGEST_BYTES:
        return f"there are {len(digests) // DIGEST_BYTES} digests for {wanted} chunks"
    if manifest.shard is None:
        return problem_of_keys(manifest, sizes)
    return "a part of a set speaks for the whole" if manifest.ties or manifest.order or manifest.entries else ""


def problem_of_keys(manifest: Manifest, stored: Collection[str]) -> str:
    """Returns in what the manifest of a whole checkpoint contradicts its keys, "" where it does not."""
    if manifest.shard is not None:
        return "the whole calls itself a part of a set"
    named = [key for group in manifest.ties for key in group]
    if len(set(named)) != len(named) or any(len(group) < 2 for group in manifest.ties):
        return "a key is tied twice"
    if any(group[0] not in stored or any(key in stored for key in group[1:]) for group in manifest.ties):
        return "tied keys do not agree with the tensors"
    count = len(stored) + sum(len(group) - 1 for group in manifest.ties)
    if manifest.order and sorted(manifest.order) != list(range(count)):
        return "the order of the keys is none"
    aliases = manifest.aliases
    if any(key in stored or key in aliases for key in manifest.entries):
        return "a key is a tensor and another entry at once"
    if any(len(row.shape) > RANK_LIMIT for row in manifest.absent):
        return f"a tensor has more than {RANK_LIMIT} dimensions"
    return ""


def read_seal(file: BoundedFile, data_begin: int, sizes: Mapping[str, int], metadata: Mapping[str, str]) -> Seal | None:
    """Returns the seal of a safetensors file, held against its header; None where the file has none.

    Args:
        file: The file.
        data_begin: Where its tensors begin.
        sizes: Bytes of each tensor by key, in the order of the file.
        metadata: Of its header.

    Raises:
        Damaged: The header is not the one that was sealed (`file/checksum-mismatch`).
        CannotRead: The seal is of a later version of the format.
    """
    if not claims(metadata) or not is_own(file.view(LENGTH_BYTES, data_begin)):
        return None
    if not is_unchanged(file.view(0, data_begin), LENGTH_BYTES + len(BEGIN)):
        raise header_changed(file, "header")
    manifest = manifest_of(file, metadata)
    try:
        digests = digests_in(metadata)
    except ValueError as error:
        raise malformed(file, str(error)) from None
    if problem := problem_of(manifest, digests, sizes):
        raise malformed(file, problem)
    return Seal(manifest, digests)


def manifest_of(file: BoundedFile, metadata: Mapping[str, str]) -> Manifest:
    """Returns the manifest of metadata that are known to be as they were written.

    Raises:
        Damaged: There is none, or it is malformed (`file/bad-header`).
        CannotRead: It is of a version that this intact does not know.
    """
    try:
        return Manifest.from_metadata(metadata)
    except KeyError:
        raise malformed(file, "there is no manifest") from None
    except UnknownVersion as error:
        raise later_version(file, error.version) from None
    except ValueError as error:
        raise malformed(file, str(error)) from None


def later_version(file: BoundedFile, version: int) -> CannotRead:
    """Returns the error for a seal that another version of intact wrote; nothing is wrong with the file."""
    return CannotRead(
        f"the seal is of version {version} of the format, and this intact knows version {VERSION}; the file is not damaged",
        path=str(file.path),
        evidence={"version": version, "known": VERSION},
        help="install a newer intact; the tensors can be read by every program that knows the format",
    )


def header_changed(file: BoundedFile, what: str) -> Damaged:
    """Returns the error for a header or an index whose bytes are not those that were sealed."""
    return Damaged(
        f"the {what} changed since it was sealed: it does not agree with its own digest, and nothing in it is sure",
        code="file/checksum-mismatch",
        path=str(file.path),
        evidence={"part": what, "digest": ALGORITHM},
        help="fetch or copy the file again; keep this one until you have another",
    )


def malformed(file: BoundedFile, why: str) -> Damaged:
    """Returns the error for a seal that contradicts itself."""
    return Damaged(
        f"the seal contradicts itself: {why}",
        code="file/bad-header",
        path=str(file.path),
        evidence={"part": "seal"},
        help="fetch the file again, or seal the checkpoint anew",
    )


def carried_along(file: BoundedFile, metadata: Mapping[str, str]) -> tuple[IntactError, ...]:
    """Returns a note where a file speaks of a seal that was made for another one."""
    if not claims(metadata):
        return ()
    note = IntactError(
        "the file carries the seal of another one: a program wrote it anew and copied the metadata; nothing can be verified",
        code="file/checksum-mismatch",
        path=str(file.path),
        evidence={"part": "seal"},
        help="if the content is what you want, seal it: intact seal FILE, or intact.save",
    )
    return (note,)


@dataclass(frozen=True, slots=True)
class SealedRuns:
    """The tensors of one sealed file, and the digests that their bytes must have.

    Attributes:
        file: The open file.
        ranges: Key and byte range in the file, in the order of the bytes.
        digests: Of all chunks, in that order.
        chunk_bytes: Bytes behind one digest.
        name: Which file of a set it is; "" for a single file.
    """

    file: BoundedFile
    ranges: Sequence[tuple[str, int, int]]
    digests: bytes
    chunk_bytes: int
    name: str = ""
