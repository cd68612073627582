"""A repaired copy: complete, atomic, and never over the original."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import intact
from intact.files.atomic import write_atomically
from intact.writing import write_checkpoint

VALUES = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(6.0).reshape(3, 2).t()}
TIED = {**VALUES, "c": VALUES["a"]}


@pytest.mark.parametrize("name", ["out.safetensors", "out.pth"])
def test_every_key_is_written_with_its_values(tmp_path: Path, name: str) -> None:
    """Tied and transposed tensors are written whole, because every reader must find every key."""
    write_checkpoint(tmp_path / name, TIED, source=tmp_path / "in.pth")
    state = load_file(tmp_path / name) if name.endswith("safetensors") else torch.load(tmp_path / name)
    assert set(state) == set(TIED)
    assert all(torch.equal(state[key], TIED[key]) for key in TIED)


def test_the_original_is_never_the_output(tmp_path: Path) -> None:
    """Also not through a link or with overwrite."""
    origin = tmp_path / "in.pth"
    origin.write_bytes(b"original")
    os.link(origin, tmp_path / "link.pth")
    for output in (origin, tmp_path / "link.pth"):
        with pytest.raises(intact.IntactError, match="the checkpoint itself"):
            write_checkpoint(output, VALUES, source=origin, overwrite=True)
    assert origin.read_bytes() == b"original"


def test_an_existing_output_is_kept_unless_the_user_says_so(tmp_path: Path) -> None:
    """Somebody's file of that name is not ours to lose."""
    (tmp_path / "out.pth").write_bytes(b"mine")
    with pytest.raises(intact.IntactError, match="exists already"):
        write_checkpoint(tmp_path / "out.pth", VALUES, source=tmp_path / "in.pth")
    assert (tmp_path / "out.pth").read_bytes() == b"mine"
    write_checkpoint(tmp_path / "out.pth", VALUES, source=tmp_path / "in.pth", overwrite=True)
    assert set(torch.load(tmp_path / "out.pth")) == set(VALUES)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    """Ctrl-C and a full disk leave the old file and no litter."""
    (tmp_path / "out.pth").write_bytes(b"old")

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    with pytest.raises((KeyboardInterrupt, intact.IntactError)):
        write_atomically(tmp_path / "out.pth", write, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.pth"]
    assert (tmp_path / "out.pth").read_bytes() == b"old"


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    """Others in the group can read what the umask lets them read."""
    before = os.umask(0o027)
    try:
        write_checkpoint(tmp_path / "out.safetensors", VALUES, source=tmp_path / "in.pth")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.safetensors").stat().st_mode) == 0o640
