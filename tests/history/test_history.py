"""What every release has written verifies, loads and is read, with the values that are written down here."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.history.models import Kept, filled
from tests.unit.containers import forging

import intact

HERE = Path(__file__).parent

RELEASES = ["0.1.0"]
"""Versions whose checkpoints are kept, oldest first."""

VALUES = {
    "embed.weight": ("float32", (7, 6), "8cd37c57dce91dd2"),
    "norm.weight": ("float32", (6,), "d9bfd104efd8b32f"),
    "norm.bias": ("float32", (6,), "3eded0a91111cf53"),
    "norm.running_mean": ("float32", (6,), "3db3c876a1341d62"),
    "norm.running_var": ("float32", (6,), "b8d995f3c88ecd2a"),
    "norm.num_batches_tracked": ("int64", (), "91550dc0ee5890d5"),
    "small.weight": ("float16", (6, 6), "17377a99ad0e9e8f"),
    "small.bias": ("float16", (6,), "a99955f377b2ae5c"),
    "head.weight": ("float32", (7, 6), "8cd37c57dce91dd2"),
}
"""Key to dtype, shape and the begin of the SHA-256 of its bytes, in the order of the state dict."""

PLACES = ["model.safetensors", "set", "set/model.safetensors", "set/model.safetensors.index.json", "beside/model.pth"]


def values_of(state: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], str]]:
    """Dtype, shape and digest of each tensor of a state dict."""
    return {
        key: (
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16],
        )
        for key, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    """The folder of a release."""
    return HERE / str(request.param)


def test_every_kept_folder_has_a_row_and_every_row_a_folder() -> None:
    """One that nobody looks at proves nothing."""
    assert sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit()) == sorted(RELEASES)


def test_the_folder_of_a_release_is_small(release: Path) -> None:
    """They stay in the repository for good."""
    assert sum(path.stat().st_size for path in release.rglob("*") if path.is_file()) < 30_000


@pytest.mark.parametrize("place", PLACES)
def test_every_byte_is_as_it_was_sealed(place: str, release: Path) -> None:
    """A later intact reads the digests of an earlier one."""
    report = intact.verify(release / place)
    assert (report.verdict, report.source.integrity.kind) == ("intact", "xxh3-128")
    assert report.source.integrity.checked_bytes > 0


@pytest.mark.parametrize("place", PLACES)
def test_every_value_is_the_one_that_was_saved(place: str, release: Path) -> None:
    """Keys, order, dtypes, shapes and bytes."""
    state = intact.read(release / place)
    assert list(values_of(state).items()) == list(VALUES.items())
    assert state["head.weight"].data_ptr() == state["embed.weight"].data_ptr()
    extra = state["_extra_state"]
    assert {key: extra[key] for key in ("step", "shape", "large", "least")} == {
        "step": 41,
        "shape": (2, 3),
        "large": 2**80,
        "least": float("-inf"),
    }
    assert torch.equal(extra["history"], torch.arange(3))


@pytest.mark.parametrize("place", PLACES)
def test_it_loads_into_the_model_it_is_of(place: str, release: Path) -> None:
    """Without a step, and with the model's own state."""
    model = Kept()
    report = intact.load_into(model, release / place)
    assert (report.verdict, report.plan.steps) == ("intact", ())
    assert values_of(model.state_dict()) == VALUES
    assert (model.step, filled().step) == (41, 41)


@pytest.mark.parametrize("place", ["model.safetensors", "set"])
def test_what_the_manifest_records_is_told(place: str, release: Path) -> None:
    """Ties, versions and the tensors that are not in the file."""
    found = intact.inspect(release / place).found
    assert found is not None
    assert list(found.tensors)[: len(VALUES)] == list(VALUES)
    assert found.ties == (("embed.weight", "head.weight"),)
    assert found.metadata == {"": 1, "embed": 1, "norm": 2, "small": 1, "head": 1}
    assert [(info.dtype, info.shape) for info in found.absent.values()] == [("float32", (2,))]
    assert found.recorded["norm"].class_name == "torch.nn.modules.batchnorm.BatchNorm1d"


def test_other_readers_see_the_tensors(release: Path) -> None:
    """An ordinary safetensors file, now and then."""
    wanted = {key: row for key, row in VALUES.items() if key != "head.weight"}
    assert values_of(load_file(release / "model.safetensors")) == wanted
    shards: dict[str, torch.Tensor] = {}
    for path in (release / "set").glob("*.safetensors"):
        shards |= load_file(path)
    assert values_of(shards) == wanted


def test_a_changed_bit_in_it_is_noticed(release: Path, tmp_path: Path) -> None:
    """That all verify must not be because nothing is looked at."""
    for place in ("model.safetensors", "beside/model.pth"):
        for path in (release / place).parent.glob(Path(place).name + "*"):
            shutil.copy(path, tmp_path)
        content = bytearray((tmp_path / Path(place).name).read_bytes())
        content[len(content) * 3 // 4] ^= 1
        (tmp_path / Path(place).name).write_bytes(content)
        assert intact.verify(tmp_path / Path(place).name).verdict == "damaged"


def test_a_file_of_a_later_format_is_told_in_one_sentence_and_is_not_called_damaged(release: Path, tmp_path: Path) -> None:
    """Whoever gets it from a colleague has to install something, and not to fetch the file again."""
    path = Path(shutil.copy(release / "model.safetensors", tmp_path))
    forging.with_manifest(path, lambda manifest: manifest.update(version=manifest["version"] + 1, ties={"new": "form"}))
    for verb in (intact.check, intact.verify, intact.inspect, intact.read):
        with pytest.raises(intact.CannotRead) as caught:
            verb(path)
        assert not isinstance(caught.value, intact.Damaged)
        assert "is of version 2 of the format" in caught.value.message
        assert "the file is not damaged" in caught.value.message
        assert "\n" not in caught.value.message
