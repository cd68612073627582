"""Archives and compressed files around something else: which kind it is, and which member looks like the checkpoint.

Nothing is unpacked but the first bytes, and those only in memory and only so many as it takes to see what is inside.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable

from intact.containers.listings import TAR_BLOCK_BYTES, Member, is_tar_header, tar_members, zip_members
from intact.containers.shown import listed, shown, shown_list
from intact.errors import CannotRead, IntactError, NotACheckpoint
from intact.files.reading import BoundedFile

PACKED_LIMIT_BYTES = 1 << 22
"""How many compressed bytes are given to a decompressor; a bzip2 block of 900,000 bytes is the largest unit."""

UNPACKED_LIMIT_BYTES = 1 << 22
"""How many bytes are unpacked to see what is inside, and for a tar its first members; takes some 20 ms."""

LZMA_MEMORY_LIMIT_BYTES = 1 << 26
"""A hostile xz file may ask for a dictionary of 4 GiB; honest ones at the highest setting take 65 MB."""

SHOWN_MEMBERS = 20


def wrapped(file: BoundedFile) -> IntactError | None:
    """Returns what an archive or a compressed file is, as the error to raise; None for anything else."""
    head = file.head(TAR_BLOCK_BYTES)
    for magic, name, peek in _COMPRESSED:
        if head.startswith(magic):
            return _compressed(file, name, peek)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip(file)
    if is_tar_header(head):
        return _bundle(file, "tar", list(tar_members(file.view(0, file.size_bytes))), f"tar -xf {file.path.name}")
    return None


def content_name(head: bytes) -> str:
    """Returns the name of the checkpoint format that some first bytes suggest, "" for none."""
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000:
        return "safetensors"
    return "tar archive" if is_tar_header(head) else ""


# --- compressed files


def _compressed(file: BoundedFile, name: str, unpack: Callable[[bytes], bytes] | None) -> IntactError | None:
    try:
        content = unpack(file.head(PACKED_LIMIT_BYTES)) if unpack else b""
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError):
        content = b""
    if not content and name in _SHORT_MAGIC:
        return None  # two or three bytes that chance makes too
    command = f"{_UNPACKERS.get(name, name)} {file.path.name}"
    if is_tar_header(content[:TAR_BLOCK_BYTES]):
        return _bundle(file, f"{name}-compressed tar", list(tar_members(memoryview(content))), f"tar -xf {file.path.name}")
    inside = content_name(content)
    around = f" around a {inside}" if inside else ""
    return NotACheckpoint(
        f"it is {name}-compressed data{around}; the file inside has to be unpacked first",
        code="file/wrapped-archive",
        path=str(file.path),
        evidence={"compression": name, "inside": inside, "size_bytes": file.size_bytes},
        help=f"unpack it ({command}), and name what comes out",
    )


def _gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data, UNPACKED_LIMIT_BYTES)


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj(15).decompress(data, UNPACKED_LIMIT_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, UNPACKED_LIMIT_BYTES)


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY_LIMIT_BYTES).decompress(data, UNPACKED_LIMIT_BYTES)


def _unlzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY_LIMIT_BYTES).decompress(data, UNPACKED_LIMIT_BYTES)


_COMPRESSED: tuple[tuple[bytes, str, Callable[[bytes], bytes] | None], ...] = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"BZh", "bzip2", _bunzip),
    (b"\xfd7zXZ\x00", "xz", _unxz),
    (b"\x28\xb5\x2f\xfd", "zstd", None),
    (b"\x04\x22\x4d\x18", "lz4", None),
    (b"7z\xbc\xaf\x27\x1c", "7z", None),
    (b"Rar!\x1a\x07", "rar", None),
    *((magic, "zlib", _inflate) for magic in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")),
    (b"\x5d\x00\x00", "lzma", _unlzma),
)
_SHORT_MAGIC = ("zlib", "lzma")
_UNPACKERS = {
    "gzip": "gunzip",
    "bzip2": "bunzip2",
    "xz": "unxz",
    "lzma": "unlzma",
    "zstd": "unzstd",
    "lz4": "unlz4",
    "7z": "7z x",
    "rar": "unrar x",
}


# --- zip


def _zip(file: BoundedFile) -> IntactError | None:
    """Returns what a zip archive is; None for one of torch's own layout, whatever torch keeps in it."""
    try:
        members = list(zip_members(file))
    except CannotRead as error:
        return error
    names = {member.name for member in members}
    if any(_stands_in("data.pkl", name.lower()) or name.endswith(_OF_TORCH) for name in names):
        return None
    for what, code, marks, help_text in _ZIP_KINDS:
        if all(any(_stands_in(mark, name) for name in names) for mark in marks):
            return NotACheckpoint(
                f"it is {what}, not a PyTorch checkpoint",
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


_OF_TORCH = ("/archive_format", "serialized_exported_program.json", "serialized_state_dict.pt", "/extern_modules")
"""Members of the archives of torch.export and torch.package."""

_RUNTIME = "find the PyTorch weights it was made from"
_ZIP_KINDS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
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
    outside = [name for name in names if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)]
    if outside:
        return CannotRead(
            f"it is a {kind} archive whose members lead out of the folder it is unpacked into: {listed(outside)}",
            code="safety/path-traversal",
            path=str(file.path),
            evidence={**evidence, "outside": shown_list(outside, SHOWN_MEMBERS)},
            help="do not unpack it with a program that follows such names; ask who made it for a clean copy",
        )
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
