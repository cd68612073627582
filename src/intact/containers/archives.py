"""Archives and compressed files around something else: which kind it is, and which member looks like the checkpoint.

Only directories and the first bytes of members are read; nothing is unpacked. Every length is held against the file and every
list of members is bounded, so that an archive made to burst costs no more than its directory.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from intact.containers.shown import shown, shown_list
from intact.errors import Damaged, IntactError, NotACheckpoint
from intact.files.reading import BoundedFile

MEMBERS_LIMIT = 10_000
"""Members of an archive that are looked at; bundles have a few, and a directory of this length is read in 20 ms."""

PEEKED_LIMIT = 64
"""Members whose first bytes are looked at."""

PEEK_BYTES = 512
"""How much of a member or of a compressed file is looked at: enough for the magic of a tar, the longest."""

COMPRESSED_PEEK_BYTES = 1 << 16
"""How many compressed bytes are given to a decompressor for that; a bzip2 block may need more, and then nothing is said."""

LZMA_MEMORY_LIMIT_BYTES = 1 << 26
"""A hostile xz file may ask for a dictionary of 4 GiB; honest ones at the highest setting take 65 MB."""

SHOWN_MEMBERS = 20

_TAR_BLOCK = 512
_ZIP_END = struct.Struct("<4s4H2IH")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_ZIP_ENTRY = struct.Struct("<4s6H3I5H2I")
_ZIP_COMMENT_LIMIT_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: As the archive writes it.
        head: Its first bytes, unpacked; empty where they were not looked at.
    """

    name: str
    head: bytes = b""


def wrapped(file: BoundedFile) -> IntactError | None:
    """Returns what an archive or a compressed file is, as the error to raise; None for anything else."""
    head = file.head(_TAR_BLOCK)
    for magic, name, peek in _COMPRESSED:
        if head.startswith(magic):
            return _compressed(file, name, peek)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip(file)
    if _is_tar_header(head):
        return _bundle(file, "tar", list(_tar_members(file)), f"tar -xf {file.path.name}")
    return None


def content_name(head: bytes) -> str:
    """Returns the name of the checkpoint format that some first bytes suggest, "" for none."""
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000:
        return "safetensors"
    return "tar archive" if _is_tar_header(head) else ""


# --- compressed files


def _compressed(file: BoundedFile, name: str, peek: Callable[[bytes], bytes] | None) -> IntactError:
    try:
        inside = content_name(peek(file.head(COMPRESSED_PEEK_BYTES))) if peek else ""
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError):
        inside = ""
    around = f" around a {inside}" if inside else ""
    return NotACheckpoint(
        f"it is {name}-compressed data{around}; the file inside has to be unpacked first",
        code="file/wrapped-archive",
        path=str(file.path),
        evidence={"compression": name, "inside": inside, "size_bytes": file.size_bytes},
        help=f"unpack it ({_UNPACKERS.get(name, name)} {file.path.name}), and name what comes out",
    )


def _gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data, PEEK_BYTES)


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj(15).decompress(data, PEEK_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, PEEK_BYTES)


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY_LIMIT_BYTES).decompress(data, PEEK_BYTES)


_COMPRESSED: tuple[tuple[bytes, str, Callable[[bytes], bytes] | None], ...] = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"BZh", "bzip2", _bunzip),
    (b"\xfd7zXZ\x00", "xz", _unxz),
    (b"\x28\xb5\x2f\xfd", "zstd", None),
    (b"\x04\x22\x4d\x18", "lz4", None),
    (b"7z\xbc\xaf\x27\x1c", "7z", None),
    (b"Rar!\x1a\x07", "rar", None),
    (b"\x78\x9c", "zlib", _inflate),
    (b"\x78\xda", "zlib", _inflate),
)
_UNPACKERS = {
    "gzip": "gunzip",
    "bzip2": "bunzip2",
    "xz": "unxz",
    "zstd": "unzstd",
    "lz4": "unlz4",
    "7z": "7z x",
    "rar": "unrar x",
}


# --- zip


def _zip(file: BoundedFile) -> IntactError:
    directory = _zip_directory(file)
    if directory is None:
        return Damaged(
            "it begins as a zip archive, and the directory that ends one is missing",
            code="file/truncated",
            path=str(file.path),
            evidence={"size_bytes": file.size_bytes},
            help="fetch or copy the file again, and compare its size with the original",
        )
    members = list(_zip_members(file, *directory))
    names = {member.name for member in members}
    for what, code, marks, help_text in _ZIP_KINDS:
        if all(any(_stands_in(mark, name) for name in names) for mark in marks):
            return NotACheckpoint(
                f"it is {what}, not a checkpoint that `torch.save` wrote",
                code=code,
                path=str(file.path),
                evidence={"format": what, "members": shown_list(sorted(names), SHOWN_MEMBERS), "member_count": len(members)},
                help=help_text,
            )
    return _bundle(file, "zip", members, f"unzip {file.path.name}")


def _stands_in(mark: str, name: str) -> bool:
    """Tells whether a name is the mark, at the top or one folder down; a mark that ends in `/` is a folder, `*.x` any ending."""
    below = name.partition("/")[2]
    if mark.startswith("*"):
        return name.endswith(mark[1:])
    if mark.endswith("/"):
        return name.startswith(mark) or below.startswith(mark)
    return mark in (name, below)


_RUNTIME = "find the PyTorch weights it was made from"
_ZIP_KINDS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "a TorchScript archive",
        "file/torchscript-archive",
        ("data.pkl", "constants.pkl"),
        "load it with torch.jit.load, and save its state_dict()",
    ),
    (
        "a TorchScript archive",
        "file/torchscript-archive",
        ("code/", "data.pkl"),
        "load it with torch.jit.load, and save its state_dict()",
    ),
    (
        "an exported program (.pt2) of torch.export",
        "file/exported-program",
        ("archive_format", "models/"),
        "load it with torch.export.load, and save its state_dict",
    ),
    (
        "an exported program (.pt2) of torch.export",
        "file/exported-program",
        ("serialized_exported_program.json",),
        "load it with torch.export.load, and save its state_dict",
    ),
    (
        "an archive of torch.package",
        "file/foreign-format",
        (".data/extern_modules",),
        "it holds code: load it with torch.package.PackageImporter if you trust it, and save the state_dict()",
    ),
    (
        "a model archive of TorchServe (.mar)",
        "file/wrapped-archive",
        ("MAR-INF/MANIFEST.json",),
        "unzip it, and name the serialized file that MAR-INF/MANIFEST.json lists",
    ),
    (
        "a model of Stable-Baselines3",
        "file/wrapped-archive",
        ("_stable_baselines3_version", "policy.pth"),
        "unzip it, and name policy.pth inside",
    ),
    ("a Keras model", "file/foreign-format", ("model.weights.h5",), "load it in Keras, and save the arrays as safetensors"),
    (
        "a SavedModel of TensorFlow",
        "file/foreign-format",
        ("saved_model.pb",),
        "load it in TensorFlow, and save the arrays as safetensors",
    ),
    ("a Core ML model", "file/foreign-format", ("Manifest.json", "Data/"), _RUNTIME),
    ("an Office document", "file/foreign-format", ("[Content_Types].xml",), "name the file that holds the weights"),
    ("a Java or Android archive", "file/foreign-format", ("META-INF/MANIFEST.MF",), "name the file that holds the weights"),
    ("a Python wheel", "file/foreign-format", ("*.dist-info/RECORD",), "install it, or unzip it and name the checkpoint inside"),
)


def _zip_directory(file: BoundedFile) -> tuple[int, int] | None:
    """Returns begin and end of the central directory, None where there is none within the file."""
    tail = file.tail(_ZIP_COMMENT_LIMIT_BYTES + _ZIP_END.size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _ZIP_END.size > len(tail):
        return None
    _, _, _, _, _, size, begin, _ = _ZIP_END.unpack_from(tail, at)
    end = file.size_bytes - len(tail) + at
    if 0xFFFFFFFF in (size, begin):
        return _zip64_directory(file, end)
    return (begin, begin + size) if begin + size <= file.size_bytes else None


def _zip64_directory(file: BoundedFile, end: int) -> tuple[int, int] | None:
    if end < _ZIP64_LOCATOR.size:
        return None
    magic, _, at, _ = _ZIP64_LOCATOR.unpack(file.view(end - _ZIP64_LOCATOR.size, end))
    if magic != b"PK\x06\x07" or at + _ZIP64_END.size > file.size_bytes:
        return None
    magic, *_, size, begin = _ZIP64_END.unpack(file.view(at, at + _ZIP64_END.size))
    return (begin, begin + size) if magic == b"PK\x06\x06" and begin + size <= file.size_bytes else None


def _zip_members(file: BoundedFile, begin: int, end: int) -> Iterator[Member]:
    for count in range(MEMBERS_LIMIT):
        if begin + _ZIP_ENTRY.size > end:
            return
        fields = _ZIP_ENTRY.unpack(file.view(begin, begin + _ZIP_ENTRY.size))
        name_bytes, extra_bytes, comment_bytes = fields[10], fields[11], fields[12]
        name_begin = begin + _ZIP_ENTRY.size
        begin = name_begin + name_bytes + extra_bytes + comment_bytes
        if fields[0] != b"PK\x01\x02" or begin > end:
            return
        name = bytes(file.view(name_begin, name_begin + name_bytes)).decode("utf-8", "replace")
        if not name.endswith("/"):
            yield Member(name, _zip_head(file, fields[4], fields[8], fields[16]) if count < PEEKED_LIMIT else b"")


def _zip_head(file: BoundedFile, method: int, stored_bytes: int, at: int) -> bytes:
    """Returns the first bytes of a member; none for what is encrypted, damaged, or packed in an unusual way."""
    if at + 30 > file.size_bytes:
        return b""
    name_bytes, extra_bytes = struct.unpack("<2H", file.view(at + 26, at + 30))
    begin = at + 30 + name_bytes + extra_bytes
    packed = bytes(file.view(min(begin, file.size_bytes), min(begin + min(stored_bytes, PEEK_BYTES), file.size_bytes)))
    if method == 0:
        return packed
    try:
        return zlib.decompressobj(-15).decompress(packed, PEEK_BYTES) if method == 8 else b""
    except zlib.error:
        return b""


# --- tar


def _is_tar_header(head: bytes) -> bool:
    """Tells whether 512 bytes are a tar header: the one checksum of the format, which v7 archives without a magic have too."""
    if len(head) < _TAR_BLOCK or not head[0]:
        return False
    recorded = _octal(head[148:156])
    return recorded > 0 and recorded == sum(head[:148]) + 8 * 0x20 + sum(head[156:_TAR_BLOCK])


def _octal(field: bytes) -> int:
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and len(digits) <= 12 and all(0x30 <= digit <= 0x37 for digit in digits) else 0


def _tar_members(file: BoundedFile) -> Iterator[Member]:
    begin = 0
    for _ in range(MEMBERS_LIMIT):
        head = bytes(file.view(begin, min(begin + _TAR_BLOCK, file.size_bytes)))
        if not _is_tar_header(head):
            return
        size = _octal(head[124:136])
        content = begin + _TAR_BLOCK
        if head[156:157] in (b"0", b"\0"):
            prefix = head[345:500].partition(b"\0")[0] + b"/" if head[257:263] == b"ustar\0" and head[345] else b""
            name = (prefix + head[:100].partition(b"\0")[0]).decode("utf-8", "replace")
            yield Member(
                name, bytes(file.view(min(content, file.size_bytes), min(content + min(size, PEEK_BYTES), file.size_bytes)))
            )
        begin = content + -(-size // _TAR_BLOCK) * _TAR_BLOCK
        if begin >= file.size_bytes:
            return


# --- what is inside


def _bundle(file: BoundedFile, kind: str, members: list[Member], command: str) -> IntactError:
    inside = [member for member in members if content_name(member.head)]
    names = [member.name for member in members]
    evidence = {
        "archive": kind,
        "checkpoints": shown_list((member.name for member in inside), SHOWN_MEMBERS),
        "members": shown_list(names, SHOWN_MEMBERS),
        "member_count": len(members),
        "size_bytes": file.size_bytes,
    }
    if names and all(name.endswith(".npy") for name in names):
        return NotACheckpoint(
            f"it is a numpy archive (.npz) of {len(names)} arrays, not a PyTorch checkpoint",
            code="file/foreign-format",
            path=str(file.path),
            evidence={**evidence, "format": "a numpy archive (.npz)"},
            help="read it with numpy, and save the arrays as safetensors or as a state dict",
        )
    if inside:
        first = inside[0]
        more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
        return NotACheckpoint(
            f"it is a {kind} archive with a checkpoint inside: `{shown(first.name)}` ({content_name(first.head)}){more}",
            code="file/wrapped-archive",
            path=str(file.path),
            evidence=evidence,
            help=f"unpack it ({command}), and name {shown(first.name)}",
        )
    return NotACheckpoint(
        f"it is a {kind} archive of {len(members)} files, and none of them begins as a checkpoint does",
        code="file/not-a-checkpoint",
        path=str(file.path),
        evidence=evidence,
        help=f"unpack it ({command}), and look for the weights",
    )
