"""Digests in names and beside files: what must agree, and what may only confirm."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import intact


def saved(path: Path) -> str:
    """Writes weights without checksums, and returns their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"w": torch.ones(10)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def spoiled(path: Path) -> None:
    """Changes one byte of a tensor."""
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def codes(path: Path) -> list[str]:
    """Codes of the errors that `verify` tells."""
    return [finding.code for finding in intact.verify(path).findings if finding.severity == "error"]


def test_a_blob_of_a_cache_is_verified_through_its_link(tmp_path: Path) -> None:
    """Its name is its digest; the folder has links to it."""
    digits = saved(tmp_path / "blobs" / "new")
    blob = (tmp_path / "blobs" / "new").rename(tmp_path / "blobs" / digits)
    link = tmp_path / "snapshots" / "abc" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    report = intact.verify(link)
    assert report.verdict == "intact"
    assert report.source.integrity.kind == "sha256"
    assert intact.verify(link.parent).verdict == "intact"
    spoiled(blob)
    assert codes(link) == ["file/checksum-mismatch"]
    assert intact.check(link).verdict == "damaged"


def test_a_small_blob_is_named_as_git_names_it(tmp_path: Path) -> None:
    """Files that are no large ones have the name of a git object."""
    saved(tmp_path / "blobs" / "new")
    raw = (tmp_path / "blobs" / "new").read_bytes()
    digits = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
    blob = (tmp_path / "blobs" / "new").rename(tmp_path / "blobs" / digits)
    assert codes(blob) == []
    spoiled(blob)
    assert codes(blob) == ["file/checksum-mismatch"]


@pytest.mark.parametrize("line", ["{digits}", "{digits}  {name}", "{digits} *{name}", "{upper}  ./{name}"])
def test_a_side_file_is_read_as_its_programs_write_it(line: str, tmp_path: Path) -> None:
    """`sha256sum`, in text and binary mode, and people who copy the digits alone."""
    path = tmp_path / "model.safetensors"
    digits = saved(path)
    side = tmp_path / "model.safetensors.sha256"
    side.write_text(line.format(digits=digits, upper=digits.upper(), name=path.name) + "\n")
    assert intact.verify(path).verdict == "intact"
    spoiled(path)
    assert codes(path) == ["file/checksum-mismatch"]


def test_a_list_speaks_of_the_files_that_it_names(tmp_path: Path) -> None:
    """The digest of another file says nothing of this one."""
    path = tmp_path / "model.safetensors"
    saved(path)
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  other.safetensors\n")
    assert codes(path) == []
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  model.safetensors\n")
    assert codes(path) == ["file/checksum-mismatch"]


def test_digits_in_a_name_confirm_and_only_in_the_hubs_folder_deny(tmp_path: Path) -> None:
    """They may be a date, a commit, or the number of a run."""
    digits = saved(tmp_path / "new.safetensors")
    named = (tmp_path / "new.safetensors").rename(tmp_path / f"net-{digits[:8]}.safetensors")
    assert intact.verify(named).verdict == "intact"
    for name in ("run-20261126.safetensors", "run-3fa4c21b.safetensors"):
        path = tmp_path / name
        saved(path)
        assert codes(path) == []
        assert intact.verify(path).verdict == "suspect", "nothing verified it"
    hub = tmp_path / "hub" / "checkpoints" / "resnet18-3fa4c21b.safetensors"
    saved(hub)
    assert codes(hub) == ["file/checksum-mismatch"]
