"""One file of a set, given by itself: its name and the index beside it say that it is not the whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

import intact

NAMES = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]


def net() -> nn.Module:
    return nn.Sequential(*[nn.Linear(8, 8) for _ in range(3)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three shards, one layer each, under a wrapper's prefix, with its index."""
    home: dict[str, str] = {}
    for number, name in enumerate(NAMES):
        part = {f"model.{number}.{key}": value for key, value in nn.Linear(8, 8).state_dict().items()}
        save_file(part, tmp_path / name)
        home |= dict.fromkeys(part, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": home}))
    return tmp_path


def test_what_is_in_the_others_is_not_called_missing(folder: Path) -> None:
    report = intact.check(folder / NAMES[1], net())
    assert [finding.code for finding in report.findings] == ["file/missing-shard", "arch/key-prefix"]
    finding = report.findings[0]
    assert finding.headline.startswith("the file is shard 2 of 3: 4 keys of the model are in the others")
    assert "`model.safetensors.index.json`" in finding.help
    assert report.verdict == "lossy"
    assert intact.check(folder / "model.safetensors.index.json", net()).verdict == "repairable"


def test_what_is_in_none_of_them_stays_missing(folder: Path) -> None:
    report = intact.check(folder / NAMES[0], nn.ModuleDict({"0": nn.Linear(8, 8), "2": nn.Linear(8, 8), "gate": nn.Linear(2, 2)}))
    found = {finding.code: set(finding.keys) for finding in report.findings}
    assert found["file/missing-shard"] == {"2.weight", "2.bias"}
    assert found["arch/missing-key"] == {"gate.weight", "gate.bias"}


def test_without_an_index_the_name_tells(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    report = intact.check(folder / NAMES[0], net())
    assert report.findings[0].code == "file/missing-shard"
    assert "the folder" in report.findings[0].help


def test_a_damaged_index_is_no_reason_to_fail(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": [1, ')
    assert intact.check(folder / NAMES[0], net()).findings[0].code == "file/missing-shard"


def test_alone_it_is_said_in_passing(folder: Path) -> None:
    report = intact.check(folder / NAMES[0])
    assert report.verdict == "intact"
    assert [(finding.code, finding.severity) for finding in report.findings] == [("file/missing-shard", "info")]


def test_a_whole_model_under_such_a_name_is_whole(tmp_path: Path) -> None:
    save_file(net().state_dict(), tmp_path / "model-00001-of-00001.safetensors")
    assert intact.check(tmp_path / "model-00001-of-00001.safetensors", net()).findings == ()
    shutil.copy(tmp_path / "model-00001-of-00001.safetensors", tmp_path / NAMES[0])
    assert intact.check(tmp_path / NAMES[0], net()).verdict == "intact"
