"""A seal beside a checkpoint: digests of its files as they are, whatever format they have, in a small file of its own.

The bytes of the files are digested, not the tensors, so that sealing needs no reader of the format and notices a change anywhere.
It is called like the checkpoint with `.seal.json` behind, and begins with its own digest as a sealed header does. Names in it are
text from somebody else, and stay inside the folder; a single file that was renamed together with its seal is still that file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from intact.containers.json_members import decoder
from intact.containers.sealed import (
    DIGITS,
    OWN_NAME,
    ZEROS,
    header_changed,
    is_own,
    is_unchanged,
    later_version,
    malformed,
    with_own_name,
)
from intact.containers.shard_index import leading_out
from intact.containers.shown import listed, shown, shown_list
from intact.core.manifest import HEADER, VERSION
from intact.errors import CannotRead, Damaged
from intact.files.digests import CHUNK_BYTES, DIGEST_BYTES, chunk_count, digest, digests_of, in_shares
from intact.files.reading import BoundedFile

SUFFIX = ".seal.json"

BEGIN = b"{" + OWN_NAME

LIMIT_BYTES = 1 << 27
"""Largest seal that is read: the digests of 6 TB."""

FILES_LIMIT = 20_000
"""Most files of a seal; a set may have 10,000 shards and its index."""

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class SealedFile(msgspec.Struct, frozen=True):
    """One file of the checkpoint.

    Attributes:
        size_bytes: How large it was.
        digests: Of its chunks, in order, in base64.
        identity: What the file says of its own content, by which another save is told from damage; "" where it says nothing.
    """

    size_bytes: _Count
    digests: str
    identity: str = ""

    def decoded(self, chunk_bytes: int) -> bytes:
        """Returns the digests.

        Raises:
            ValueError: They are malformed.
        """
        try:
            digests = base64.b64decode(self.digests.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise ValueError(str(error)) from None
        if len(digests) != DIGEST_BYTES * chunk_count(self.size_bytes, chunk_bytes):
            raise ValueError("there are other digests than chunks")
        return digests


class Sidecar(msgspec.Struct, frozen=True):
    """What is recorded beside a checkpoint.

    Attributes:
        version: Version of the format.
        save: Identity of the sealing.
        writer: Program and version.
        created: Date and time in UTC, ISO 8601.
        chunk_bytes: Bytes behind one digest.
        files: By name, relative to the folder of the checkpoint.
        container: Name of the format it was opened as.
        architecture: Record of the model, where one was given.
        environment: Record of the environment in which it was sealed.
        before: What stands there as long as the save of `files` has not put them in place; empty where it is known that it has.
            A save that is killed between its two renames leaves a seal that is right for both.
    """

    version: int
    save: _Digest
    files: dict[str, SealedFile]
    writer: str = ""
    created: str = ""
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1024, le=2**40)] = CHUNK_BYTES
    container: str = ""
    architecture: str = ""
    environment: str = ""
    before: dict[str, SealedFile] = {}


class _Versioned(msgspec.Struct):
    version: int


_version = decoder(_Versioned)
_decoded = decoder(Sidecar)


def beside(path: Path) -> Path:
    """Returns where the seal of a checkpoint stands."""
    return path.with_name(path.name + SUFFIX)


def read_sidecar(path: Path) -> Sidecar:
    """Returns a seal, held against its own digest.

    Raises:
        CannotRead: It is not there, too large, or of a version that is not known; a name in it leads out of the folder
            (`safety/path-traversal`).
        Damaged: It changed since it was written (`file/checksum-mismatch`), contradicts itself (`file/bad-header`), or is that of
            another checkpoint (`file/index-mismatch`).
    """
    with BoundedFile(path) as file:
        if file.size_bytes > LIMIT_BYTES:
            raise CannotRead(f"a seal of {file.size_bytes:,} bytes is none: {LIMIT_BYTES:,} are the limit", path=str(path))
        content = file.view(0, file.size_bytes)
        if not is_own(content, BEGIN) or not is_unchanged(content, len(BEGIN)):
            raise header_changed(file, "seal")
        try:
            version = _version(content).version
            if version != VERSION:
                raise later_version(file, version)
            sidecar = _decoded(content)
            _check_files(sidecar)
        except ValueError as error:
            raise malformed(file, str(error)) from None
        return _of_its_checkpoint(sidecar, path)


def _check_files(sidecar: Sidecar) -> None:
    """Raises ValueError where the files are none or their digests are malformed."""
    if not sidecar.files:
        raise ValueError("it names no file")
    if (named := len(sidecar.files) + len(sidecar.before)) > FILES_LIMIT:
        raise ValueError(f"it names {named:,} files, and {FILES_LIMIT:,} are the limit")
    for sealed in (*sidecar.files.values(), *sidecar.before.values()):
        sealed.decoded(sidecar.chunk_bytes)


def _of_its_checkpoint(sidecar: Sidecar, path: Path) -> Sidecar:
    """Returns a seal whose names lead to the checkpoint that it stands beside."""
    if outside := leading_out({**sidecar.files, **sidecar.before}):
        raise CannotRead(
            f"the seal leads out of its folder: {listed(outside)}",
            code="safety/path-traversal",
            path=str(path),
            evidence={"names": shown_list(outside), "name_count": len(outside)},
            help="do not use this checkpoint before you know who wrote the seal",
        )
    own = path.name.removesuffix(SUFFIX)
    if own in sidecar.files:
        return sidecar
    if len(sidecar.files) == 1:  # file and seal were renamed together
        before = dict(zip([own], sidecar.before.values(), strict=False))
        return msgspec.structs.replace(sidecar, files={own: next(iter(sidecar.files.values()))}, before=before)
    raise Damaged(
        f"the seal beside `{shown(own)}` is that of another checkpoint: {listed(sidecar.files)}",
        code="file/index-mismatch",
        path=str(path),
        evidence={"files": shown_list(sidecar.files)},
        help="put the seal of this checkpoint beside it, or seal it anew: intact seal",
    )


def sidecar_bytes(sidecar: Sidecar) -> bytes:
    """Returns the content of the file of a seal."""
    content = {HEADER: ZEROS.decode(), **msgspec.to_builtins(sidecar)}
    if not sidecar.before:
        del content["before"]
    text = bytearray(with_own_name(msgspec.json.encode(content)) + b"\n")
    text[len(BEGIN) : len(BEGIN) + DIGITS] = digest(text).hex().encode()
    return bytes(text)


def sealed_files(folder: Path, names: tuple[str, ...]) -> Mapping[str, SealedFile]:
    """Returns the files of a checkpoint with their digests, every byte read once.

    Raises:
        CannotRead: One of them cannot be read.
    """
    return {name: _sealed(folder / name) for name in names}


def _sealed(path: Path) -> SealedFile:
    with BoundedFile(path) as file:
        file.expect_reading()
        view = file.view(0, file.size_bytes)
        runs = [(begin, min(begin + (16 << 20), file.size_bytes)) for begin in range(0, max(file.size_bytes, 1), 16 << 20)]
        made: dict[int, bytes] = {}
        in_shares(
            runs,
            [end - begin for begin, end in runs],
            lambda part: made.update((begin, digests_of(view[begin:end])) for begin, end in part),
        )
        digests = b"".join(made[begin] for begin, _ in runs)
        return SealedFile(file.size_bytes, base64.b64encode(digests).decode())
