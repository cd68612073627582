"""Values that a checkpoint is pinned by: what common tools print, and another one after any change."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import intact
from intact.pinning import expected_value, pinned_value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed file."""
    intact.save(nn.Linear(4, 4), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three shards, one of them with a name that has to be escaped."""
    for number in "123":
        save_file(
            {number: torch.ones(4)}, tmp_path / f"{number}\n.safetensors" if number == "2" else tmp_path / f"{number}.safetensors"
        )
    text = '{"weight_map": {"1": "1.safetensors", "2": "2\\n.safetensors", "3": "3.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(text)
    return tmp_path


def test_a_file_is_pinned_by_its_own_digest(path: Path) -> None:
    """It can be compared with what a hub or `sha256sum` says."""
    source = intact.inspect(path).source
    assert pinned_value(source, "sha256") == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert intact.verify(path, expect=pinned_value(source)).verdict == "intact"
    assert intact.verify(path, expect=pinned_value(source).removeprefix("blake3:").upper()).verdict == "intact"
    assert intact.verify(path, expect=pinned_value(source, "sha256")).verdict == "intact"


def test_a_set_is_pinned_by_what_sha256sum_prints(folder: Path) -> None:
    """Without intact it can be computed by two commands."""
    source = intact.inspect(folder).source
    assert source.files[0] == "model.safetensors.index.json"
    listed = subprocess.run(["sha256sum", *source.files], cwd=folder, capture_output=True, check=True).stdout
    assert listed.count(b"\n") == 4
    assert pinned_value(source, "sha256") == "sha256:" + hashlib.sha256(listed).hexdigest()


def test_bytes_that_move_from_one_file_to_the_next_are_noticed(folder: Path) -> None:
    """A digest of the contents one after the other would be the same."""
    before = pinned_value(intact.inspect(folder).source)
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text() + " ")
    spaced = pinned_value(intact.inspect(folder).source)
    assert spaced != before
    contents = [(folder / name).read_bytes() for name in intact.inspect(folder).source.files]
    assert b"".join(contents).startswith(contents[0])
    source = intact.inspect(folder).source
    (folder / source.files[1]).write_bytes(contents[1] + contents[2][:1])
    (folder / source.files[2]).write_bytes(contents[2][1:])
    assert pinned_value(source) != spaced


def test_another_checkpoint_is_told_with_both_values(path: Path) -> None:
    """The seal of a file that was made to deceive agrees with its bytes."""
    pinned = pinned_value(intact.inspect(path).source)
    intact.save(nn.Linear(4, 4), path)
    report = intact.verify(path, expect=pinned)
    (finding,) = report.findings
    assert (report.verdict, finding.code) == ("damaged", "file/checksum-mismatch")
    assert finding.evidence == {"found": pinned_value(report.source), "expected": pinned}


@pytest.mark.parametrize(
    "text", ["", "blake3:", "blake3:12", "md5:" + "0" * 32, "0" * 63, "sha256:" + "g" * 64, "a:b:" + "0" * 64, "²" * 64]
)
def test_what_is_no_pinned_value_is_refused(text: str, path: Path) -> None:
    """A value that was cut while it was copied must not count as one that does not agree."""
    with pytest.raises(intact.IntactError, match="no pinned value"):
        expected_value(text)
    with pytest.raises(intact.IntactError, match="no pinned value"):
        intact.verify(path, expect=text)
