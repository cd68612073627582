"""A repaired copy: complete, atomic, and never over the original."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import intact
from intact.files.atomic import write_atomically
from intact.writing import SAFETENSORS, write_checkpoint

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


@pytest.mark.parametrize("name", sorted(SAFETENSORS))
def test_every_dtype_that_safetensors_is_said_to_hold_is_held(tmp_path: Path, name: str) -> None:
    """A list of dtypes is a promise about somebody else's code."""
    values = {"x": torch.tensor([1, 0]).to(getattr(torch, name))}
    write_checkpoint(tmp_path / "x.safetensors", values, source=tmp_path / "in.pth")
    assert load_file(tmp_path / "x.safetensors")["x"].dtype == values["x"].dtype


@pytest.mark.parametrize("value", [torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse()])
def test_what_safetensors_cannot_hold_is_refused_with_the_way_out(tmp_path: Path, value: torch.Tensor) -> None:
    """The user hears which key and which format takes it, and no file is left."""
    with pytest.raises(intact.IntactError, match="safetensors cannot hold `odd`") as caught:
        write_checkpoint(tmp_path / "x.safetensors", {**VALUES, "odd": value}, source=tmp_path / "in.pth")
    assert ".pth" in caught.value.help
    assert list(tmp_path.iterdir()) == []
    write_checkpoint(tmp_path / "x.pth", {"odd": value}, source=tmp_path / "in.pth")
    assert torch.equal(torch.load(tmp_path / "x.pth")["odd"].to_dense(), value.to_dense())


def test_no_shard_beside_the_index_is_overwritten(tmp_path: Path) -> None:
    """The index is one file of the checkpoint, and the shards are the others."""
    index, shard = tmp_path / "model.safetensors.index.json", tmp_path / "model-00001-of-00002.safetensors"
    index.write_text("{}")
    shard.write_bytes(b"shard")
    with pytest.raises(intact.IntactError, match="a part of it"):
        write_checkpoint(shard, VALUES, source=index, overwrite=True)
    assert shard.read_bytes() == b"shard"


def test_a_file_system_without_links_is_written_to_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sticks and some network folders know no links, and a name taken meanwhile is noticed there too."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)

    def new(path: Path) -> None:
        path.write_bytes(b"new")

    write_atomically(tmp_path / "out", new, overwrite=False)
    assert (tmp_path / "out").read_bytes() == b"new"

    def meanwhile(path: Path) -> None:
        path.write_bytes(b"ours")
        (tmp_path / "taken").write_bytes(b"theirs")

    with pytest.raises(intact.IntactError, match="cannot be written"):
        write_atomically(tmp_path / "taken", meanwhile, overwrite=False)
    assert (tmp_path / "taken").read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "taken"]


def test_a_tensor_is_written_without_the_storage_behind_it(tmp_path: Path) -> None:
    """A view of a mapped file of gigabytes is as small as it is."""
    write_checkpoint(tmp_path / "x.pth", {"x": torch.zeros(1_000_000)[:2]}, source=tmp_path / "in.pth")
    assert (tmp_path / "x.pth").stat().st_size < 10_000
