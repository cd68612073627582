"""Sealed sets of shards: one save or none, whole, under the name it was saved as."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.containers import forging
from torch import nn

import intact


def model() -> nn.Module:
    """Layers of 4,032 bytes each, two of them tied, and a buffer that stands before them."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.BatchNorm1d(31), nn.Linear(31, 31), nn.Linear(31, 31), nn.Linear(31, 31))
    made[3].weight = made[1].weight
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed set of four shards."""
    intact.save(model(), tmp_path / "run" / "model.safetensors", max_shard_bytes=4_000)
    return tmp_path / "run"


def index_in(folder: Path) -> Path:
    """The index of the set."""
    return folder / "model.safetensors.index.json"


def shards_in(folder: Path) -> list[Path]:
    """The shards of the set, in order."""
    return sorted(folder.glob("model-*.safetensors"))


def codes(path: Path) -> list[str]:
    """The codes of what a check finds, the gravest first."""
    return [finding.code for finding in intact.check(path, model()).findings]


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json", "."])
def test_a_set_opens_under_the_name_it_was_saved_as_its_index_and_its_folder(name: str, folder: Path) -> None:
    """Whoever saved to a path loads from that path, whatever came to stand there."""
    loaded = model()
    for parameter in loaded.parameters():
        nn.init.zeros_(parameter)
    assert intact.load_into(loaded, folder / name).verdict == "intact"
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model().state_dict().items())
    assert intact.verify(folder / name).verdict == "intact"


def test_order_ties_and_values_of_a_set_come_back(folder: Path) -> None:
    """The order of a set is the order of no file in it."""
    state, read = model().state_dict(), intact.read(folder)
    assert list(read) == list(state)
    assert read["3.weight"] is read["1.weight"]
    assert intact.inspect(folder).found.ties == (("1.weight", "3.weight"),)
    assert all(torch.equal(read[key], value) for key, value in state.items())
    assert len(shards_in(folder)) == 4


def test_a_bit_in_any_shard_is_told_with_its_file(folder: Path) -> None:
    """Whoever has to fetch a file again needs its name."""
    for shard in shards_in(folder):
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
        (finding,) = intact.verify(folder).findings
        assert (finding.code, finding.evidence["chunks"][0]["file"]) == ("file/checksum-mismatch", shard.name)
        content[-1] ^= 1
        shard.write_bytes(content)


def test_a_shard_of_another_save_is_told(folder: Path, tmp_path: Path) -> None:
    """Two saves of one model have the same names, shapes and sizes; a mixture of them loads without a word elsewhere."""
    intact.save(model(), tmp_path / "other" / "model.safetensors", max_shard_bytes=4_000)
    shutil.copy(shards_in(tmp_path / "other")[1], shards_in(folder)[1])
    assert codes(folder) == ["file/mixed-shards"]
    assert intact.verify(folder).verdict == "damaged"


def test_a_shard_that_is_not_sealed_is_told(folder: Path) -> None:
    """Its bytes could not be verified, and the rest would be called intact."""
    first = shards_in(folder)[0]
    save_file(load_file(first), first)
    assert codes(folder) == ["file/mixed-shards"]


def test_shards_under_an_index_that_was_not_sealed_with_them_are_not_called_intact(folder: Path) -> None:
    """What such an index does not name would be missing without a word."""
    index = json.loads(index_in(folder).read_bytes())
    home = {key: name for key, name in index["weight_map"].items() if name != shards_in(folder)[0].name}
    for text in ({"weight_map": home}, {"metadata": {"total_size": 1}, "weight_map": index["weight_map"]}):
        index_in(folder).write_text(json.dumps(text))
        assert "file/checksum-mismatch" in [finding.code for finding in intact.check(folder).findings]
        assert intact.verify(folder).verdict == "suspect"
        assert intact.inspect(folder).source.integrity.kind == "none"


def test_an_index_that_another_program_wrote_anew_is_told(folder: Path) -> None:
    """The same content in another form is not what was sealed."""
    index_in(folder).write_text(json.dumps(json.loads(index_in(folder).read_bytes()), indent=2))
    findings = intact.verify(folder).findings
    assert [finding.code for finding in findings] == ["file/checksum-mismatch", "file/unsealed"]


def test_a_bit_anywhere_in_the_index_is_told(folder: Path) -> None:
    """The begin, which tells that it is sealed, and places throughout, each time another bit."""
    whole = index_in(folder).read_bytes()
    for position in (*range(60), *range(60, len(whole), 13)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        index_in(folder).write_bytes(changed)
        try:
            verdict = intact.verify(folder).verdict
        except intact.CannotRead:
            verdict = "damaged"
        assert verdict != "intact", f"bit {position % 8} of byte {position}: {changed[position - 5 : position + 5]!r}"


def in_manifest(**changes: Any) -> Callable[[dict[str, Any]], object]:
    """An edit of the manifest in an index."""
    return lambda index: index["metadata"]["intact.manifest"].update(changes)


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a tie to a key that is nowhere": in_manifest(ties=[["nowhere", "3.weight"]]),
    "an order that is none": in_manifest(order=[1, 1]),
    "a part of a set": in_manifest(shard=[1, 4]),
    "an entry under the key of a tensor": in_manifest(entries={"1.bias": 1}),
    "a manifest of another save": in_manifest(save="0" * 32),
    "a key that no shard holds": lambda index: index["weight_map"].update({"7.weight": index["weight_map"]["1.bias"]}),
    "a key less than the shards hold": lambda index: index["weight_map"].pop("2.bias"),
    "a shard that leads out": lambda index: index["weight_map"].update({"1.bias": "../model.safetensors"}),
    "a shard that is a root": lambda index: index["weight_map"].update({"1.bias": "/etc/passwd"}),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_an_index_that_contradicts_itself_or_its_shards_is_refused(name: str, folder: Path) -> None:
    """Each of them agrees with its own digest."""
    forging.with_index(index_in(folder), CONTRADICTIONS[name])
    report = intact.check(folder)
    assert report.verdict in ("damaged", "unsafe")
    assert report.findings[0].code in ("file/bad-header", "file/mixed-shards", "file/index-mismatch", "safety/path-traversal")
    with pytest.raises(intact.CannotRead):
        intact.read(folder)


def test_a_shard_that_speaks_for_the_whole_set_is_refused(folder: Path) -> None:
    """Order and ties belong to the index; a shard that has its own could not be read in that order."""
    forging.with_manifest(shards_in(folder)[0], lambda manifest: manifest.update(order=[5, 4, 3]))
    for path in (folder, shards_in(folder)[0]):
        assert intact.check(path).findings[0].code == "file/bad-header"


def test_a_shard_alone_is_a_sealed_file(folder: Path) -> None:
    """It can be verified where it is, before the others are there."""
    for shard in shards_in(folder):
        assert intact.verify(shard).verdict == "intact"
        assert set(intact.read(shard)) <= set(model().state_dict())


def test_a_later_version_of_a_set_is_told_in_one_sentence_and_is_no_damage(folder: Path) -> None:
    """The index is what tells."""
    forging.with_index(index_in(folder), in_manifest(version=2))
    with pytest.raises(intact.CannotRead, match="version 2") as caught:
        intact.check(folder)
    assert not isinstance(caught.value, intact.Damaged)


def test_what_a_stopped_save_left_beside_a_checkpoint_does_not_hide_it(tmp_path: Path, folder: Path) -> None:
    """A save that was killed before its index was there leaves shards that nothing leads to."""
    single = tmp_path / "single"
    intact.save(model(), single / "model.safetensors")
    shutil.copy(shards_in(folder)[0], single)
    assert intact.check(single, model()).verdict == "intact"
    other = tmp_path / "other"
    intact.save(model(), other / "model.safetensors", max_shard_bytes=4_000)
    shutil.copy(shards_in(folder)[0], other)
    assert intact.check(other, model()).verdict == "intact"


def test_a_save_that_was_stopped_between_file_and_set_leaves_one_answer(tmp_path: Path, folder: Path) -> None:
    """For an instant both stand under one name, each of them whole; the name opens the file, and so does the folder."""
    for number, ours in enumerate((True, False)):
        both = tmp_path / str(number)
        shutil.copytree(folder, both)
        if ours:
            intact.save(nn.Linear(2, 2), tmp_path / "one.safetensors")
            shutil.copy(tmp_path / "one.safetensors", both / "model.safetensors")
            assert list(intact.read(both)) == list(intact.read(both / "model.safetensors")) == ["weight", "bias"]
        else:  # what somebody else put there is another checkpoint
            save_file({"other": torch.ones(1)}, both / "model.safetensors")
            with pytest.raises(intact.NotACheckpoint, match="2 checkpoints"):
                intact.read(both)
