"""Sealed files with content of somebody else's choosing, and digests that agree with it: what a hostile writer would make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xxhash

Edit = Callable[[dict[str, Any]], object]

ZEROS = "0" * 32


def encoded(content: object) -> bytes:
    """JSON as intact writes it, the space included by which it knows its own."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return text.replace(b'"intact.header":', b'"intact.header" :', 1)


def with_own_digest(whole: bytes) -> bytes:
    """The bytes with the digest of all of them in the place of the first 32 zeros."""
    return whole.replace(ZEROS.encode(), xxhash.xxh3_128_hexdigest(whole).encode(), 1)


def header_of(path: Path) -> dict[str, Any]:
    """The header of a safetensors file."""
    content = path.read_bytes()
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


def with_metadata(path: Path, edit: Edit) -> Path:
    """Writes a sealed file anew with edited metadata."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = header_of(path)
    header["__metadata__"]["intact.header"] = ZEROS
    edit(header["__metadata__"])
    text = encoded(header)
    path.write_bytes(with_own_digest(len(text).to_bytes(8, "little") + text) + content[begin:])
    return path


def with_manifest(path: Path, edit: Edit) -> Path:
    """Writes a sealed file anew with an edited manifest."""
    return with_metadata(path, lambda metadata: _edited(metadata, edit))


def with_index(path: Path, edit: Edit) -> Path:
    """Writes the index of a sealed set anew; `edit` gets all of it, the manifest decoded."""
    index = json.loads(path.read_bytes())
    metadata = index["metadata"]
    metadata["intact.header"] = ZEROS
    metadata["intact.manifest"] = json.loads(metadata["intact.manifest"])
    edit(index)
    metadata["intact.manifest"] = encoded(metadata["intact.manifest"]).decode()
    path.write_bytes(with_own_digest(encoded(index)))
    return path


def with_sidecar(path: Path, edit: Edit) -> Path:
    """Writes the seal beside a checkpoint anew."""
    sidecar = json.loads(path.read_bytes())
    sidecar["intact.header"] = ZEROS
    edit(sidecar)
    path.write_bytes(with_own_digest(encoded(sidecar)))
    return path


def _edited(metadata: dict[str, Any], edit: Edit) -> None:
    manifest = json.loads(metadata["intact.manifest"])
    edit(manifest)
    metadata["intact.manifest"] = encoded(manifest).decode()
