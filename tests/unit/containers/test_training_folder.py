"""Folders of training state: what was damaged, mixed or forged is named, and nothing in a folder leads out of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.containers import open_container
from intact.containers.training_folder import BEGIN, HEADER, INDEX, TrainingFolder, files_of
from intact.files.digests import digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, an optimizer, a scheduler and plain values."""
    return saved(tmp_path / "step-1")


def saved(path: Path, seed: int = 0) -> Path:
    """Writes training state after one step."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4))
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4, 4])
    net(torch.ones(1, 6)).sum().backward()
    optimizer.step()
    scheduler.step()
    intact.save({"model": net, "optimizer": optimizer, "scheduler": scheduler, "step": 1, "tags": ("a", 2.5)}, path)
    return path


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the index and gives it a digest of its own, as somebody with bad intentions would."""
    index = json.loads((folder / INDEX).read_text())
    change(index)
    index.pop(HEADER)
    text = bytearray(json.dumps({HEADER: "0" * 32, **index}, separators=(",", ":")).encode() + b"\n")
    text[len(BEGIN) : len(BEGIN) + 32] = digest(text).hex().encode()
    (folder / INDEX).write_bytes(text)


def refused(path: Path) -> str:
    """Returns the code under which a folder is refused."""
    report = intact.check(path)
    assert report.findings[0].severity == "error"
    return report.findings[0].code


def test_what_is_read_is_what_the_state_dicts_were(folder: Path) -> None:
    """The same nesting as in a file that torch writes, with names in place of numbers."""
    state = intact.read(folder)
    assert list(state) == ["model", "optimizer", "scheduler", "step", "tags"]
    assert state["optimizer"]["param_groups"][0]["params"] == [f"model.{k}.{leaf}" for k in (0, 1) for leaf in ("weight", "bias")]
    moments = state["optimizer"]["state"]["model.0.weight"]
    assert moments["exp_avg"].shape == (9, 6)
    assert moments["step"] == torch.tensor(1.0)
    assert state["scheduler"]["milestones"] == {2: 1, 4: 2}
    assert type(state["scheduler"]["milestones"]).__name__ == "Counter"
    assert state["tags"] == ("a", 2.5)


def test_every_part_is_an_ordinary_file(folder: Path) -> None:
    """Other programs open the weights as they always did."""
    from safetensors.torch import load_file

    assert sorted(load_file(folder / "model.safetensors")) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    assert "exp_avg/model.0.weight" in load_file(folder / "optimizer.safetensors")
    assert sorted(files_of(folder) or ()) == sorted({INDEX, "model.safetensors", "optimizer.safetensors"})


def test_a_folder_and_its_index_are_the_same_checkpoint(folder: Path) -> None:
    """A person names either."""
    assert intact.inspect(folder).found.tensors.keys() == intact.inspect(folder / INDEX).found.tensors.keys()
    report = intact.verify(folder)
    assert report.verdict == "intact"
    assert report.source.container == "training-folder"
    assert report.source.integrity.checked_bytes > 0


@pytest.mark.parametrize("name", [INDEX, "model.safetensors", "optimizer.safetensors"])
def test_one_changed_bit_is_noticed_in_every_file(folder: Path, name: str) -> None:
    """The index, headers and tensors are all under a digest."""
    whole = (folder / name).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 25)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        (folder / name).write_bytes(content)
        assert intact.verify(folder).verdict != "intact", f"bit of byte {place} of {name}"


def test_parts_of_two_saves_are_never_one_checkpoint(folder: Path, tmp_path: Path) -> None:
    """A copy that was interrupted leaves the new index beside old files, or the other way round."""
    other = saved(tmp_path / "step-2", seed=1)
    shutil.copy(other / "optimizer.safetensors", folder / "optimizer.safetensors")
    assert refused(folder) == "file/mixed-shards"


def test_a_missing_part_is_named(folder: Path) -> None:
    """The weights alone would load, and the run would go on without its moments."""
    (folder / "optimizer.safetensors").unlink()
    report = intact.check(folder)
    assert report.findings[0].code == "file/missing-shard"
    assert "optimizer.safetensors" in report.findings[0].headline


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "..", "a/b.safetensors", "a\\b"])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    """Names in an index are text from somebody else."""
    rewritten(folder, lambda index: index["parts"]["model"].update(file=name))
    assert refused(folder) == "safety/path-traversal"


def test_an_index_that_leads_to_itself_ends(folder: Path) -> None:
    """Following it would never end."""
    rewritten(folder, lambda index: index["parts"]["model"].update(file=INDEX))
    assert refused(folder) == "file/bad-header"


def test_an_index_that_leads_to_itself_through_a_set_ends(folder: Path) -> None:
    """A set of shards whose shard is the index again."""
    shards = {"metadata": {}, "weight_map": {"0.weight": INDEX}}
    (folder / "x.safetensors.index.json").write_text(json.dumps(shards))
    rewritten(folder, lambda index: index["parts"]["model"].update(file="x.safetensors.index.json"))
    assert refused(folder).startswith("file/")


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["parts"].update(more={"kind": "virus"}),
        lambda index: index["parts"]["optimizer"].update(file="model.safetensors"),
        lambda index: index["parts"]["optimizer"].update(content={"$tensor": ["key", [], "bm90aGVyZQ=="]}),
        lambda index: index["parts"]["optimizer"].update(content={"$tensor": ["float32", [9], "AAAA"]}),
        lambda index: index["parts"]["step"].update(content={"$tensor": ["key", [], "eA=="]}),
        lambda index: index["parts"]["step"].update(content={"$surprise": 1}),
        lambda index: index.update(save="short"),
        lambda index: index["parts"].update({f"p{number}": {"kind": "value"} for number in range(2000)}),
    ],
    ids=["kind", "one-file-twice", "no-such-key", "short-tensor", "key-without-file", "form", "save", "many"],
)
def test_a_malformed_index_is_damaged_and_nothing_else(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A digest only says that nobody changed it since; whoever wrote it may have written nonsense."""
    rewritten(folder, change)
    assert refused(folder) in ("file/bad-header", "file/mixed-shards")


def test_a_later_version_is_not_called_damaged(folder: Path) -> None:
    """The file is whole, and this release is old."""
    rewritten(folder, lambda index: index.update(version=2))
    with pytest.raises(intact.CannotRead, match="version 2"):
        intact.check(folder)


def test_storages_of_two_parts_stay_apart(tmp_path: Path) -> None:
    """Both models have a key of the same name in a file of their own."""
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    intact.save({"one": one, "other": other}, tmp_path / "two")
    with closing(open_container(tmp_path / "two")) as container:
        assert isinstance(container, TrainingFolder)
        assert container.describe().ties == ()
    state = intact.read(tmp_path / "two")
    assert torch.equal(state["one"]["weight"], one.weight)
    assert torch.equal(state["other"]["weight"], other.weight)
