"""A guarded load refuses what changed since it was sealed, and nothing else."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import intact
from intact.containers.sidecar import read_sidecar, sidecar_bytes


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with intact.guard(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed file of two tensors."""
    torch.manual_seed(0)
    torch.save(state(0), tmp_path / "a.pth")
    return tmp_path / "a.pth"


def state(seed: int) -> dict[str, torch.Tensor]:
    """Values of the same shapes for every seed, so that files are of the same size."""
    generator = torch.Generator().manual_seed(seed)
    return {"first": torch.randn(100, generator=generator), "second": torch.randn(300, 1000, generator=generator)}


def plain_save(*args: Any, **kwargs: Any) -> None:
    """torch's own function, beneath the guard."""
    torch.save.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.9999])
def test_one_bit_anywhere_is_noticed_before_anything_is_loaded(path: Path, part: float) -> None:
    """torch loads a changed bit without a word, wherever it is."""
    content = bytearray(path.read_bytes())
    content[int(part * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(intact.Damaged, match=r"changed since it was sealed|digest that was recorded") as caught:
        torch.load(path)
    assert caught.value.code == "file/checksum-mismatch"
    assert caught.value.path == str(path)


def test_damage_is_told_by_tensor(path: Path) -> None:
    """Whoever reads it wants to know whether the head or the backbone is gone."""
    content = bytearray(path.read_bytes())
    content[-20_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(intact.Damaged, match="`second` changed since it was sealed"):
        torch.load(path)


def test_a_file_that_ends_early_is_told_as_such(path: Path) -> None:
    """A copy that was interrupted."""
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(intact.Damaged) as caught:
        torch.load(path)
    assert caught.value.code == "file/truncated"


def test_a_file_without_a_seal_and_a_file_object_are_loaded_as_ever(tmp_path: Path, path: Path) -> None:
    """Downloads have no seal."""
    shutil.copy(path, tmp_path / "copy.pth")
    assert torch.equal(torch.load(tmp_path / "copy.pth")["first"], state(0)["first"])
    assert torch.equal(torch.load(io.BytesIO(path.read_bytes()))["first"], state(0)["first"])
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nothing.pth")


def test_what_another_program_wrote_over_a_sealed_file_is_not_called_damaged(path: Path) -> None:
    """A run without guard, or `shutil.copy` of a better checkpoint: of the same size, and healthy."""
    plain_save(state(1), path)
    assert torch.equal(torch.load(path)["first"], state(1)["first"])
    torch.save(state(2), path)
    assert intact.verify(path).verdict == "intact"


def test_another_save_that_is_damaged_itself_is_refused(path: Path) -> None:
    """The way out for healthy files is none for damaged ones."""
    plain_save(state(1), path)
    content = bytearray(path.read_bytes())
    content[-20_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(intact.Damaged):
        torch.load(path)


def interrupted_save(path: Path) -> None:
    """Leaves what a save of other values leaves that is killed between the renames of seal and file."""
    old, old_seal = path.read_bytes(), read_sidecar(path.with_name("a.pth.seal.json"))
    torch.save(state(1), path)
    place = path.with_name("a.pth.seal.json")
    place.write_bytes(sidecar_bytes(msgspec.structs.replace(read_sidecar(place), before=old_seal.files)))
    path.write_bytes(old)


def test_the_seal_of_a_save_that_was_killed_is_right_for_the_old_file_too(path: Path) -> None:
    """A healthy file must not be called damaged because the next save died."""
    interrupted_save(path)
    assert intact.verify(path).verdict == "intact"
    assert torch.equal(torch.load(path)["first"], state(0)["first"])
    torch.save(state(2), path)
    assert not read_sidecar(path.with_name("a.pth.seal.json")).before


def test_damage_is_noticed_after_a_killed_save_as_well(path: Path) -> None:
    """And told against the file that stands there, not against the one that never came."""
    interrupted_save(path)
    content = bytearray(path.read_bytes())
    content[-20_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(intact.Damaged, match="`second`"):
        torch.load(path)
    report = intact.verify(path)
    assert report.verdict == "damaged"
    assert report.findings[0].evidence["changed_chunks"] == 1


def test_a_seal_that_is_damaged_itself_is_told_and_the_file_is_loaded(path: Path) -> None:
    """Nothing is known against the file."""
    place = path.with_name("a.pth.seal.json")
    content = bytearray(place.read_bytes())
    content[-40] ^= 1
    place.write_bytes(content)
    with pytest.warns(intact.CheckpointWarning, match="without being verified"):
        loaded = torch.load(path)
    assert torch.equal(loaded["first"], state(0)["first"])


def test_a_program_that_takes_the_newest_file_of_a_folder_gets_the_checkpoint(path: Path) -> None:
    """`max(files, key=getctime)` finds the seal, which is written last."""
    newest = max((path.parent / name for name in os.listdir(path.parent)), key=os.path.getctime)
    assert newest.name == "a.pth.seal.json"
    assert torch.equal(torch.load(newest)["first"], state(0)["first"])
