"""Sets of shards whose index was not copied: whole by their names, or told what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import intact


def net() -> nn.Sequential:
    """Returns a model of three layers."""
    return nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3))


def write(folder: Path, state: dict[str, torch.Tensor], suffix: str, first: int = 1) -> list[Path]:
    """Writes one shard for each layer."""
    folder.mkdir()
    made = []
    for number in range(3):
        part = {key: value for key, value in state.items() if key.startswith(f"{number}.")}
        path = folder / f"model-{number + first:05}-of-00003{suffix}"
        if suffix == ".safetensors":
            save_file(part, path)
        else:
            torch.save(part, path)
        made.append(path)
    return made


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("first", [0, 1])
def test_shards_without_an_index_are_one_checkpoint(tmp_path: Path, suffix: str, first: int) -> None:
    """By what they call themselves; other files may lie beside them."""
    source, target = net(), net()
    write(tmp_path / "set", source.state_dict(), suffix, first)
    (tmp_path / "set" / "config.json").write_text("{}")
    report = intact.check(tmp_path / "set", target)
    assert report.verdict == "intact"
    assert [finding.code for finding in report.findings] == ["file/index-mismatch"]
    intact.load_into(target, tmp_path / "set")
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_shard_is_named(tmp_path: Path, gone: int) -> None:
    """Although nobody can say what it held; the others are salvaged."""
    source = net()
    paths = write(tmp_path / "set", source.state_dict(), ".safetensors")
    paths[gone].unlink()
    report = intact.check(tmp_path / "set", net())
    assert report.verdict == "damaged"
    assert report.findings[0].code == "file/missing-shard"
    assert paths[gone].name in report.findings[0].headline
    found = intact.salvage(tmp_path / "set")
    assert set(found.tensors) == {key for key in source.state_dict() if not key.startswith(f"{gone}.")}


def test_two_sets_in_one_folder_are_several_checkpoints(tmp_path: Path) -> None:
    """And so is a set beside another file."""
    write(tmp_path / "set", net().state_dict(), ".safetensors")
    save_file(net().state_dict(), tmp_path / "set" / "adapter.safetensors")
    assert [finding.code for finding in intact.check(tmp_path / "set").findings] == ["file/several-checkpoints"]


def test_a_shard_that_is_named_itself_is_read_alone(tmp_path: Path) -> None:
    """Whoever names one file means it."""
    paths = write(tmp_path / "set", net().state_dict(), ".safetensors")
    assert set(intact.inspect(paths[1]).found.tensors) == {"1.weight", "1.bias"}


def test_a_key_in_two_shards_is_told(tmp_path: Path) -> None:
    """Two saves lie in one folder, and nothing says which is meant."""
    paths = write(tmp_path / "set", net().state_dict(), ".safetensors")
    save_file({"2.weight": torch.ones(3, 8), "2.bias": torch.ones(3), "1.bias": torch.ones(8)}, paths[2])
    report = intact.check(tmp_path / "set", net())
    assert report.verdict == "suspect"
    (finding,) = [finding for finding in report.findings if finding.code == "file/mixed-shards"]
    assert finding.keys == ("1.bias",)


def test_a_shard_is_never_overwritten_by_what_is_made_of_the_set(tmp_path: Path) -> None:
    """The values that are written are still in it."""
    paths = write(tmp_path / "set", net().state_dict(), ".safetensors")
    before = [path.read_bytes() for path in paths]
    with pytest.raises(intact.IntactError, match="a part of"):
        intact.convert(tmp_path / "set", paths[1], overwrite=True)
    with pytest.raises(intact.IntactError, match="a part of"):
        intact.repair(tmp_path / "set", paths[1], net(), overwrite=True)
    assert [path.read_bytes() for path in paths] == before
