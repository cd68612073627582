"""Bytes against digests: a change is told by tensor, file and byte range, and what has no digests is never called verified."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import intact
from intact.containers import open_container
from intact.files import digests
from intact.verification import verify_container

MEBIBYTE = 1 << 20


@pytest.fixture(params=[1, 4], ids=["one thread", "four threads"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed file whose first tensor has twenty chunks and a bit."""
    monkeypatch.setattr(digests, "THREADS", request.param)
    state = {"large": torch.arange(5 * MEBIBYTE + 100, dtype=torch.float32), "one": torch.ones(1), "none": torch.empty(0)}
    intact.save({**state, "half": torch.ones(3).half()}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def begin_of(path: Path) -> int:
    """Where the tensors of a file begin."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def changed(path: Path, *positions: int) -> None:
    """Changes a bit at positions from the begin of the tensors."""
    content, begin = bytearray(path.read_bytes()), begin_of(path)
    for position in positions:
        content[begin + position] ^= 0x10
    path.write_bytes(content)


def test_a_file_as_it_was_sealed_is_intact_and_says_how_much_was_read(path: Path) -> None:
    """Every byte of every tensor, once."""
    report = intact.verify(path)
    size = 4 * (5 * MEBIBYTE + 100) + 4 + 6
    assert (report.verdict, report.findings) == ("intact", ())
    assert (report.source.integrity.kind, report.source.integrity.checked_bytes) == ("xxh3-128", size)


@pytest.mark.parametrize("chunk", [0, 1, 15, 16, 19, 20])
def test_a_chunk_that_changed_is_told_by_its_place(chunk: int, path: Path) -> None:
    """The first and last of each share of work, and the short one at the end."""
    position = chunk * MEBIBYTE + 399
    changed(path, position)
    (finding,) = intact.verify(path).findings
    begin = begin_of(path)
    end = min((chunk + 1) * MEBIBYTE, 20 * MEBIBYTE + 400)
    assert finding.keys == ("large",)
    assert finding.evidence["chunks"] == [
        {"key": "large", "file": path.name, "chunk": chunk, "begin": begin + chunk * MEBIBYTE, "end": begin + end}
    ]


def test_changes_are_told_in_the_order_of_the_file(path: Path) -> None:
    """Whatever thread came upon them first."""
    changed(path, 20 * MEBIBYTE + 400, 0, 7 * MEBIBYTE, 19 * MEBIBYTE)
    (finding,) = intact.verify(path).findings
    chunks = finding.evidence["chunks"]
    assert [chunk["begin"] for chunk in chunks] == sorted(chunk["begin"] for chunk in chunks)
    assert finding.keys == ("large", "one")
    assert finding.evidence["changed_chunks"] == 4
    assert "3 other chunks" in finding.headline


def test_a_check_and_a_load_notice_damage_too_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    """Nobody verifies by hand before each load."""
    model = nn.Linear(3, 3)
    intact.save(nn.Linear(3, 3), tmp_path / "model.safetensors")
    changed(tmp_path / "model.safetensors", 5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert intact.check(tmp_path / "model.safetensors", model).verdict == "damaged"
    with pytest.raises(intact.LoadRefused):
        intact.load_into(model, tmp_path / "model.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_safetensors_loads_the_same_damage_without_a_word(path: Path) -> None:
    """That is why there are digests; should it notice one day, this page of ours is out of date."""
    changed(path, 0)
    assert load_file(path)["large"][0] != 0


def test_what_carries_no_digests_is_told_and_not_called_intact(tmp_path: Path) -> None:
    """That it opens says nothing about its values."""
    save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pth"):
        report = intact.verify(tmp_path / name)
        assert (report.verdict, [finding.code for finding in report.findings]) == ("suspect", ["file/unsealed"])
        assert report.source.integrity.checked_bytes == 0
        container = open_container(tmp_path / name)
        assert not verify_container(container).sealed
        container.close()


def test_a_tied_key_is_damaged_with_the_key_that_has_its_bytes(tmp_path: Path) -> None:
    """Both keys of the model would get the wrong values."""
    shared = torch.ones(10)
    intact.save({"a": shared, "b": torch.zeros(3), "c": shared}, tmp_path / "model.safetensors")
    changed(tmp_path / "model.safetensors", 0)
    (finding,) = intact.verify(tmp_path / "model.safetensors").findings
    assert finding.keys == ("a", "c")


@pytest.mark.parametrize("name", ["nothing.safetensors", "no/model.safetensors"])
def test_what_is_not_there_cannot_be_verified(name: str, tmp_path: Path) -> None:
    """It is neither intact nor damaged."""
    with pytest.raises(intact.CannotRead):
        intact.verify(tmp_path / name)
