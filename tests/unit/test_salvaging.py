"""What is left of a damaged checkpoint: never a wrong tensor as a whole one, and everything else named with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

import intact
from intact.cli.main import main
from intact.remains.doubts import doubt_of_bytes

WEIGHTS = {f"layers.{number}.weight": torch.randn(60, 50) for number in range(6)}


def as_zip(path: Path) -> None:
    """Writes what torch writes today."""
    torch.save(WEIGHTS, path)


def as_legacy(path: Path) -> None:
    """Writes what torch wrote until 1.5."""
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)


def as_safetensors(path: Path) -> None:
    """Writes what others write."""
    save_file(WEIGHTS, path)


def as_sealed(path: Path) -> None:
    """Writes a sealed file of the same weights."""
    model = torch.nn.Module()
    layers = torch.nn.ModuleList(torch.nn.Linear(50, 60, bias=False) for _ in WEIGHTS)
    model.add_module("layers", layers)
    model.load_state_dict(WEIGHTS)
    intact.save(model, path)


WRITERS = [as_zip, as_legacy, as_safetensors, as_sealed]


def run(*words: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, list(words))


def everything_right(found: intact.Salvage) -> bool:
    """Whether all that was handed out is what was saved."""
    return all(torch.equal(value, WEIGHTS[key]) for key, value in found.tensors.items())


@pytest.mark.parametrize("write", WRITERS)
def test_a_healthy_file_gives_everything(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Nothing may be doubted that is as it was written."""
    path = tmp_path / "whole.safetensors"
    write(path)
    found = intact.salvage(path)
    assert set(found.tensors) == set(WEIGHTS)
    assert everything_right(found)
    assert not found.lost
    assert not found.suspicious
    expected = "crc32" if write is as_zip else "digest" if write is as_sealed else "extent"
    assert {row.proof for row in found.judged.values()} == {expected}


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_ends_early_gives_what_lies_before(write: Callable[[Path], None], tmp_path: Path) -> None:
    """The copy was interrupted at 70 percent."""
    path = tmp_path / "cut.safetensors"
    write(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 7 // 10])
    found = intact.salvage(path)
    assert 3 <= len(found.tensors) < 6
    assert everything_right(found)
    assert set(found.tensors) | set(found.lost) == set(WEIGHTS)
    assert found.report.verdict == "damaged"


@pytest.mark.parametrize("write", WRITERS)
def test_zeros_in_the_middle_are_never_handed_out_as_whole(write: Callable[[Path], None], tmp_path: Path) -> None:
    """A page was not written back."""
    path = tmp_path / "holes.safetensors"
    write(path)
    with path.open("r+b") as file:
        file.seek(4096 * 6)
        file.write(bytes(4096))
    found = intact.salvage(path)
    assert 3 <= len(found.tensors) < 6
    assert len(found.tensors) + len(found.suspicious) + len(found.lost) == 6
    assert everything_right(found)


def test_one_flipped_bit_is_undone_and_kept_apart(tmp_path: Path) -> None:
    """What agrees with the CRC-32 again is restored, not whole."""
    path = tmp_path / "flipped.pth"
    as_zip(path)
    raw = bytearray(path.read_bytes())
    key = "layers.3.weight"
    at = bytes(raw).index(WEIGHTS[key].numpy().tobytes())
    raw[at + 1003] ^= 0x40
    path.write_bytes(raw)
    found = intact.salvage(path)
    assert set(found.restored) == {key}
    assert torch.equal(found.restored[key], WEIGHTS[key])
    flip = found.judged[key].flip
    assert flip is not None
    assert (flip.byte, flip.bit) == (1003, 6)
    assert 0 < flip.false_chance < 1e-4
    assert key not in found.tensors
    assert "flipped back" in str(found)


def test_a_flipped_bit_in_the_record_that_names_the_tensors_is_undone(tmp_path: Path) -> None:
    """A key would have another name, and nobody would know it."""
    path = tmp_path / "renamed.pth"
    as_zip(path)
    raw = bytearray(path.read_bytes())
    raw[bytes(raw).index(b"layers.3.weight")] ^= 1
    path.write_bytes(raw)
    found = intact.salvage(path)
    assert set(found.restored) == set(WEIGHTS)
    assert all(torch.equal(value, WEIGHTS[key]) for key, value in found.restored.items())
    assert not found.tensors


def test_two_flipped_bits_are_not_undone(tmp_path: Path) -> None:
    """A wrong guess would be worse than none."""
    path = tmp_path / "twice.pth"
    as_zip(path)
    raw = bytearray(path.read_bytes())
    at = bytes(raw).index(WEIGHTS["layers.0.weight"].numpy().tobytes())
    raw[at + 10] ^= 1
    raw[at + 900] ^= 8
    path.write_bytes(raw)
    found = intact.salvage(path)
    assert list(found.suspicious) == ["layers.0.weight"]
    assert not found.restored


def test_bytes_added_in_the_middle_of_a_file_without_checksums_make_all_places_unsure(tmp_path: Path) -> None:
    """A block was written twice, and everything behind it moved."""
    path = tmp_path / "doubled.safetensors"
    as_safetensors(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:8192] + raw[4096:])
    found = intact.salvage(path)
    assert not found.tensors
    assert len(found.suspicious) == 6


def test_a_set_gives_what_its_other_shards_hold(tmp_path: Path) -> None:
    """One file of the download is missing, one is cut off, and the index stays inside its folder."""
    keys = sorted(WEIGHTS)
    names = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    for number, name in enumerate(names):
        save_file({key: WEIGHTS[key] for key in keys[2 * number : 2 * number + 2]}, tmp_path / name)
    home = {key: names[place // 2] for place, key in enumerate(keys)} | {"outside": "../secret.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": home}))
    (tmp_path / names[0]).unlink()
    with (tmp_path / names[1]).open("r+b") as file:
        file.truncate((tmp_path / names[1]).stat().st_size - 100)
    found = intact.salvage(tmp_path)
    assert set(found.tensors) == {keys[2], keys[4], keys[5]}
    assert everything_right(found)
    assert set(found.lost) == {keys[0], keys[1], keys[3], "outside"}
    assert "not there" in found.lost[keys[0]]


def test_names_that_no_file_can_have_are_lost_shards(tmp_path: Path) -> None:
    """An index is anybody's text."""
    save_file({"a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    home = {"a": "model-00001-of-00002.safetensors", "b": "x" * 900, "c": "nul.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": home}))
    found = intact.salvage(tmp_path)
    assert set(found.tensors) == {"a"}
    assert set(found.lost) == {"b", "c"}


def test_noise_amid_weights_is_doubted_and_wide_ranges_are_not() -> None:
    """Sums of squares span forty orders of magnitude, but not within every block."""
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(40_000) * 0.02).astype(np.float32)
    clean = memoryview(values.tobytes())
    noisy = bytearray(clean)
    noisy[8192:12288] = rng.bytes(4096)
    assert doubt_of_bytes(clean, "float32", (40_000,), 0) == ""
    assert "noise" in doubt_of_bytes(memoryview(noisy), "float32", (40_000,), 0)
    scales = 10.0 ** rng.uniform(-30, 5, 400)
    squares = (rng.standard_normal((400, 100)) ** 2 * scales[:, None]).astype(np.float32)
    assert doubt_of_bytes(memoryview(squares.tobytes()), "float32", (400, 100), 0) == ""


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((300, 100), slice(7, 8)), ((300, 100), slice(0, 40)), ((300, 128), slice(290, 300)), ((300, 128), slice(5, 6))],
)
def test_rows_that_are_zero_by_design_are_not_doubted(shape: tuple[int, int], rows: slice) -> None:
    """A padding index, units that were pruned, a table that is filled in part."""
    values = torch.randn(shape)
    values[rows] = 0
    assert doubt_of_bytes(memoryview(values.numpy().tobytes()), "float32", shape, 4096) == ""


def test_the_command_writes_what_is_whole_and_says_what_is_not(tmp_path: Path) -> None:
    """The file it writes loads everywhere; the broken one is as it was."""
    broken, good = tmp_path / "broken.pth", tmp_path / "good.safetensors"
    as_zip(broken)
    raw = broken.read_bytes()[:-20_000]
    broken.write_bytes(raw)
    result = run("salvage", str(broken), "-o", str(good))
    assert result.exit_code == 1, result.output
    assert "lost" in result.output
    assert broken.read_bytes() == raw
    written = intact.read(good)
    assert 3 <= len(written) < 6
    assert all(torch.equal(value, WEIGHTS[key]) for key, value in written.items())
    again = run("salvage", str(broken), "-o", str(good))
    assert again.exit_code == 2
    assert "exists" in again.output
    data = json.loads(run("salvage", str(broken), "--json").stdout)
    assert data["salvage"]["counts"]["whole"] == len(written)
    assert {row["key"] for row in data["salvage"]["keys"]} == set(WEIGHTS)


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    """There is nothing to salvage, and nothing is invented."""
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><html><body>quota exceeded</body></html>")
    with pytest.raises(intact.CannotRead) as caught:
        intact.salvage(path)
    assert caught.value.code == "file/web-page"


def damaged_copy(path: Path, content: bytes, key: str) -> None:
    """Writes a file with one bit of one tensor flipped, at byte 1,003 of it."""
    raw = bytearray(content)
    raw[content.index(WEIGHTS[key].numpy().tobytes()) + 1003] ^= 0x40
    path.write_bytes(raw)


def test_one_flipped_bit_of_a_distributed_checkpoint_is_undone(tmp_path: Path) -> None:
    """Every item is a small archive of its own, with checksums of its own."""
    from torch.distributed.checkpoint.state_dict_saver import save

    save(dict(WEIGHTS), checkpoint_id=tmp_path / "dcp", no_dist=True)
    (file,) = (tmp_path / "dcp").glob("*.distcp")
    damaged_copy(file, file.read_bytes(), "layers.3.weight")
    found = intact.salvage(tmp_path / "dcp")
    assert set(found.restored) == {"layers.3.weight"}
    assert torch.equal(found.restored["layers.3.weight"], WEIGHTS["layers.3.weight"])
    assert set(found.tensors) == set(WEIGHTS) - {"layers.3.weight"}
    assert everything_right(found)


def test_one_flipped_bit_of_the_files_of_several_processes_is_undone(tmp_path: Path) -> None:
    """It lies in a part of a tensor, in one of the files."""
    from benchmarks.fuzz_mutations import enumerate_ranks

    for name, content in enumerate_ranks(dict(WEIGHTS)):
        (tmp_path / name).write_bytes(content)
    second = tmp_path / "rank_1.pt"
    raw = bytearray(second.read_bytes())
    raw[bytes(raw).index(WEIGHTS["layers.3.weight"][30:].numpy().tobytes()) + 1003] ^= 0x40
    second.write_bytes(raw)
    found = intact.salvage(tmp_path)
    assert set(found.restored) == {"layers.3.weight"}
    assert torch.equal(found.restored["layers.3.weight"], WEIGHTS["layers.3.weight"])
    assert everything_right(found)
    assert len(found.tensors) == len(WEIGHTS) - 1
