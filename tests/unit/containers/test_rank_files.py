"""Files of several processes: which belong together, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.fuzz_mutations import enumerate_ranks

import intact
from intact.containers.rank_files import siblings

STATE = {"w": torch.arange(12.0).reshape(6, 2), "b": torch.arange(5.0)}


def write(folder: Path, name: str, state: dict[str, torch.Tensor] | None = None) -> list[Path]:
    """Writes the files of two processes, `{}` in the name being their number."""
    made = []
    for number, (_, content) in enumerate(enumerate_ranks(state or STATE)):
        path = folder / name.format(number)
        path.write_bytes(content)
        made.append(path)
    return made


@pytest.mark.parametrize("name", ["rank_{}.pt", "rank{}-of-2.pt", "model_world_size_2_rank_{}.pt", "rank_{}_step_100.pt"])
def test_the_number_of_the_process_may_stand_anywhere(tmp_path: Path, name: str) -> None:
    """Files of other steps lie beside them, and are no part of this one."""
    first, _ = write(tmp_path, name)
    if "step" in name:
        write(tmp_path, name.replace("100", "200"), {key: value + 100 for key, value in STATE.items()})
    read = intact.read(first)
    assert all(torch.equal(read[key], value) for key, value in STATE.items())


def test_names_that_differ_in_one_number_belong_together(tmp_path: Path) -> None:
    """The last number first."""
    for name in ("a1b1", "a1b2", "a2b1", "a10b1", "c1b1", "a1b1x"):
        (tmp_path / name).touch()
    assert siblings(tmp_path / "a1b1") == [["a1b1", "a1b2"], ["a1b1", "a2b1", "a10b1"]]
    assert siblings(tmp_path / "gone" / "a1") == []


def test_a_file_of_another_save_is_told(tmp_path: Path) -> None:
    """Its tensors have other sizes."""
    first, second = write(tmp_path, "rank_{}.pt")
    other = tmp_path / "other"
    other.mkdir()
    second.write_bytes(write(other, "rank_{}.pt", {"w": torch.ones(8, 2), "b": torch.ones(5)})[1].read_bytes())
    report = intact.check(first)
    assert report.verdict == "damaged"
    assert report.findings[0].code == "file/mixed-shards"


def test_none_of_the_files_is_overwritten_by_what_is_made_of_them(tmp_path: Path) -> None:
    """Each holds values that no other has."""
    first, second = write(tmp_path, "rank_{}.pt")
    before = second.read_bytes()
    with pytest.raises(intact.IntactError, match="a part of"):
        intact.convert(first, second, overwrite=True)
    assert second.read_bytes() == before
