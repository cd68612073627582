"""What a sealed checkpoint says of itself, and the names under which it says so in the metadata of a safetensors file.

The manifest is a small JSON document; the large records (architecture, environment, probe) stand beside it under names of their
own and stay text until somebody asks. Members that a reader does not know are ignored, and a version that it does not know is
refused, so that an old intact never calls a new seal broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

VERSION = 1
"""Version of the format; raised only by a change that older readers would misunderstand."""

HEADER = "intact.header"
DIGESTS = "intact.digests"
MANIFEST = "intact.manifest"
ARCHITECTURE = "intact.architecture"
ENVIRONMENT = "intact.environment"
PROBE = "intact.probe"
NAMES = frozenset({HEADER, DIGESTS, MANIFEST, ARCHITECTURE, ENVIRONMENT, PROBE})
"""Names in the metadata of a file that belong to the seal."""

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class UnknownVersion(ValueError):
    """A seal of a version that this intact does not know.

    Attributes:
        version: Which.
    """

    def __init__(self, version: int) -> None:
        super().__init__(f"the seal is of version {version}, and this intact knows version {VERSION}")
        self.version = version


class Absent(msgspec.Struct, frozen=True, array_like=True):
    """A tensor that the model has and keeps out of its state dict.

    Attributes:
        key: Its path in the model.
        dtype: As torch spells it.
        shape: In elements.
        digest: XXH3-128 of its bytes, "" where they were not looked at.
    """

    key: str
    dtype: str
    shape: tuple[_Count, ...]
    digest: str = ""


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """Which file of a set this one is.

    Attributes:
        number: From 1.
        count: How many files hold tensors.
    """

    number: _Count
    count: _Count


class Program(msgspec.Struct, frozen=True, array_like=True):
    """A `torch.export` program that was saved beside the checkpoint.

    Attributes:
        file: Its name, in the same folder.
        size_bytes: How large it is.
        digests: Of its chunks, in base64.
    """

    file: Annotated[str, msgspec.Meta(pattern=r"\A[^/\\\x00]{1,255}\Z")]
    size_bytes: _Count
    digests: str


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that a sealed checkpoint records beside its tensors.

    Attributes:
        version: Version of the format.
        save: Identity of the save, 32 hexadecimal digits, the same in all files of a set.
        writer: Program and version.
        created: Date and time in UTC, ISO 8601.
        chunk_bytes: Bytes behind one digest.
        ties: Groups of keys that are one tensor; the first of each has the bytes.
        order: Position in the state dict of each key: those with bytes in the order of the file, then the tied ones. Empty where
            that is the order.
        training: Whether the model was in training mode; None where no model was saved.
        other_mode: Modules whose mode is not that of the model.
        learning: Whether most parameters require a gradient.
        other_learning: Keys of parameters for which the opposite holds.
        versions: Versions that `state_dict()._metadata` records, by module, without those that are 1 where `modules` is set.
        modules: Whether a module of the architecture that `versions` does not list has version 1.
        absent: Tensors that are not in the state dict.
        entries: Entries of the state dict that are no tensors, encoded.
        shard: Which file of a set this one is; None for a single file and for the index.
        program: The model's program, where one was saved too.
        architecture: Its own JSON document, "" where there is none.
        environment: Its own JSON document, "" where there is none.
        probe: Its own JSON document, "" where there is none.
    """

    version: int
    save: _Digest
    writer: str = ""
    created: str = ""
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1024, le=2**40)] = 1 << 20
    ties: tuple[tuple[str, ...], ...] = ()
    order: tuple[_Count, ...] = ()
    training: bool | None = None
    other_mode: tuple[str, ...] = ()
    learning: bool = True
    other_learning: tuple[str, ...] = ()
    versions: dict[str, int] = {}
    modules: bool = False
    absent: tuple[Absent, ...] = ()
    entries: dict[str, Any] = {}
    shard: Shard | None = None
    program: Program | None = None
    architecture: str = ""
    environment: str = ""
    probe: str = ""

    @property
    def aliases(self) -> dict[str, str]:
        """Tied keys without bytes, and the key that has them."""
        return {key: group[0] for group in self.ties for key in group[1:]}

    def to_metadata(self) -> dict[str, str]:
        """Returns the manifest as metadata, the convention of `safetensors.torch` for tied keys included.

        Source:
            `save_model` in `safetensors/torch.py`, 0.8.0: the name that was left out, to the name that was kept.
        """
        bare = msgspec.structs.replace(self, architecture="", environment="", probe="")
        records = {ARCHITECTURE: self.architecture, ENVIRONMENT: self.environment, PROBE: self.probe}
        tied = {key: kept for key, kept in self.aliases.items() if key not in NAMES and key != "format"}
        return {MANIFEST: _encode(bare), **{name: text for name, text in records.items() if text}, "format": "pt", **tied}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Manifest:
        """Returns the manifest of a file's metadata.

        Raises:
            KeyError: There is none.
            UnknownVersion: It is of a version that is not known.
            ValueError: It is malformed.
        """
        version = _version(metadata[MANIFEST])
        if version != VERSION:
            raise UnknownVersion(version)
        try:
            bare = _decode(metadata[MANIFEST])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ValueError(f"the manifest is malformed: {error}") from None
        records = {name.rpartition(".")[2]: metadata.get(name, "") for name in (ARCHITECTURE, ENVIRONMENT, PROBE)}
        return msgspec.structs.replace(bare, **records)


class _Versioned(msgspec.Struct):
    version: int


def _version(text: str) -> int:
    try:
        return msgspec.json.decode(text, type=_Versioned).version
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"the manifest is malformed: {error}") from None


_decode = msgspec.json.Decoder(Manifest).decode


def _encode(manifest: Manifest) -> str:
    return msgspec.json.encode(manifest).decode()


def in_order(stored: Iterable[str], manifest: Manifest) -> list[str]:
    """Returns all keys in the order of the state dict.

    Args:
        stored: Keys with bytes, in the order of the file.
        manifest: Of a single file, checked against these keys.
    """
    keys = [*stored, *manifest.aliases]
    if not manifest.order:
        return keys
    return [key for _, key in sorted(zip(manifest.order, keys, strict=True))]
