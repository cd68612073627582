"""The seal beside a checkpoint: of its files alone, and never of others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.unit.containers import forging
from torch import nn

import intact
from intact.containers.sidecar import beside, read_sidecar


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of torch with a seal beside it."""
    torch.manual_seed(0)
    target = tmp_path / "model.pth"
    torch.save(nn.Linear(300, 1_000).state_dict(), target)
    intact.seal(target)
    return target


def codes(path: Path) -> list[str]:
    """The codes of what a verification finds."""
    return [finding.code for finding in intact.verify(path).findings]


def test_every_byte_of_every_kind_of_checkpoint_is_sealed(tmp_path: Path) -> None:
    """The files are digested as they are, so that no format needs to be known."""
    state = nn.Linear(4, 4).state_dict()
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "plain.safetensors")
    for target in [*tmp_path.iterdir()]:
        assert codes(target) == ([] if target.name == "zip.pth" else ["file/unsealed"])  # a zip has its checksums
        assert intact.seal(target).verdict == "intact"
        whole = target.read_bytes()
        for position in range(0, len(whole), 7):
            target.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
            assert "file/checksum-mismatch" in codes(target), f"{target.name}, byte {position}"
        target.write_bytes(whole)


def test_a_change_is_told_by_tensor_and_place(path: Path) -> None:
    """One chunk of the weight, and nothing else."""
    content = bytearray(path.read_bytes())
    content[500_000] ^= 1
    path.write_bytes(content)
    (finding,) = intact.verify(path).findings
    assert (finding.keys, finding.evidence["changed_chunks"]) == (("weight",), 1)
    (chunk,) = finding.evidence["chunks"]
    assert (chunk["begin"], chunk["file"]) == (0, "model.pth")
    assert intact.check(path, nn.Linear(300, 1_000)).verdict == "damaged"


@pytest.mark.parametrize("change", [lambda content: content[:-10], lambda content: content + b"more"])
def test_bytes_that_are_missing_or_too_many_are_told(change: Callable[[bytes], bytes], path: Path) -> None:
    """A longer file has all the chunks that were sealed."""
    path.write_bytes(change(path.read_bytes()))
    assert intact.verify(path).verdict not in ("intact", "suspect")
    assert {"file/truncated", "file/checksum-mismatch"} & set(codes(path))


def test_a_bit_anywhere_in_the_seal_is_told(path: Path) -> None:
    """A seal that was changed proves nothing about the checkpoint."""
    whole = beside(path).read_bytes()
    for position in range(len(whole)):
        beside(path).write_bytes(whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :])
        assert codes(path) == ["file/checksum-mismatch"], f"byte {position}"


def test_a_set_is_sealed_as_a_whole(tmp_path: Path) -> None:
    """Its index and all of its shards stand in one seal."""
    state = {key: torch.randn(50) for key in "ab"}
    for number, key in enumerate(state, 1):
        save_file({key: state[key]}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    home = {key: f"model-0000{number}-of-00002.safetensors" for number, key in enumerate(state, 1)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": home}))
    assert intact.seal(tmp_path).verdict == "intact"
    assert set(json.loads(beside(index).read_bytes())["files"]) == {index.name, *home.values()}
    content = bytearray((tmp_path / home["b"]).read_bytes())
    content[-1] ^= 1
    (tmp_path / home["b"]).write_bytes(content)
    (finding,) = intact.verify(tmp_path).findings
    assert (finding.keys, finding.evidence["chunks"][0]["file"]) == (("b",), home["b"])


def test_a_file_that_was_renamed_with_its_seal_is_still_that_file(path: Path) -> None:
    """A name is not what was sealed."""
    renamed = path.with_name("best.pth")
    os.rename(path, renamed)
    os.rename(beside(path), beside(renamed))
    assert intact.verify(renamed).verdict == "intact"


def test_the_seal_of_another_file_proves_nothing(path: Path) -> None:
    """Copied along, it would have verified the file it was made for, which still stands there."""
    other = path.with_name("other.pth")
    torch.save(nn.Linear(300, 1_000).state_dict(), other)
    other.with_name(other.name + ".seal.json").write_bytes(beside(path).read_bytes())
    assert intact.verify(path).verdict == "intact"
    assert "file/checksum-mismatch" in codes(other) or "file/truncated" in codes(other)


def of_files(**changes: Any) -> Callable[[dict[str, Any]], object]:
    """An edit of the record of the one file."""
    return lambda sidecar: sidecar["files"]["model.pth"].update(changes)


REFUSED: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "no files": ("file/bad-header", lambda s: s.update(files={})),
    "files that are a list": ("file/bad-header", lambda s: s.update(files=[])),
    "two other files": ("file/index-mismatch", lambda s: s.update(files=dict.fromkeys("ab", s["files"]["model.pth"]))),
    "a name that leads out": ("safety/path-traversal", lambda s: s.update(files={"../../x": s["files"]["model.pth"]})),
    "another that leads out": ("safety/path-traversal", lambda s: s["files"].update({"a/../../x": s["files"]["model.pth"]})),
    "a root": ("safety/path-traversal", lambda s: s["files"].update({"/etc/passwd": s["files"]["model.pth"]})),
    "a drive": ("safety/path-traversal", lambda s: s["files"].update({"c:\\x": s["files"]["model.pth"]})),
    "a NUL": ("safety/path-traversal", lambda s: s["files"].update({"a\0": s["files"]["model.pth"]})),
    "a name without end": ("safety/path-traversal", lambda s: s["files"].update({"a" * 100_000: s["files"]["model.pth"]})),
    "a huge size": ("file/bad-header", of_files(size_bytes=2**63 - 1)),
    "a size below zero": ("file/bad-header", of_files(size_bytes=-1)),
    "no digests": ("file/bad-header", of_files(digests="")),
    "digests that are no base64": ("file/bad-header", of_files(digests="é")),
    "chunks of no bytes": ("file/bad-header", lambda s: s.update(chunk_bytes=0)),
    "a save that is none": ("file/bad-header", lambda s: s.update(save="x")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_seal_that_makes_no_sense_is_refused(name: str, path: Path) -> None:
    """Whoever writes one can make its digest agree."""
    code, edit = REFUSED[name]
    forging.with_sidecar(beside(path), edit)
    assert codes(path) == [code]
    with pytest.raises(intact.CannotRead):
        read_sidecar(beside(path))


def test_a_later_version_is_told_and_is_no_damage(path: Path) -> None:
    """Its members may mean other things, so nothing of it is decoded."""
    forging.with_sidecar(beside(path), lambda sidecar: sidecar.update(version=2, files="elsewhere"))
    with pytest.raises(intact.CannotRead, match="version 2 of the format") as caught:
        read_sidecar(beside(path))
    assert not isinstance(caught.value, intact.Damaged)


def test_a_seal_of_any_size_is_not_read(path: Path) -> None:
    """A sparse file of a terabyte takes no room on the disk."""
    with open(beside(path), "r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(intact.CannotRead, match="are the limit"):
        read_sidecar(beside(path))


def test_an_empty_file_within_a_set_has_a_digest(tmp_path: Path) -> None:
    """No bytes are bytes that can become some."""
    from intact.containers.sidecar import sealed_files

    (tmp_path / "empty").touch()
    (sealed,) = sealed_files(tmp_path, ("empty",)).values()
    assert (sealed.size_bytes, len(sealed.decoded(1 << 20))) == (0, 16)


def test_what_is_damaged_is_not_sealed(path: Path) -> None:
    """A seal on it would call the damage intact for ever."""
    before = beside(path).read_bytes()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(intact.CannotRead):
        intact.seal(path)
    assert beside(path).read_bytes() == before
