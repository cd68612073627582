"""From a path to a container: by content, with the right file of a folder, and with nothing imported that is not needed."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import intact
from intact.containers import FORMATS, container_name, misnamed, open_container
from intact.errors import CannotRead, Damaged, NotACheckpoint

WEIGHTS = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.ones(3)}


def write_each(folder: Path) -> dict[str, Path]:
    """One file of each format, by the name of the format."""
    paths = {name: folder / f"{name}.x" for name in ("safetensors", "torch-zip", "torch-legacy", "pickle")}
    save_file(WEIGHTS, paths["safetensors"])
    torch.save(WEIGHTS, paths["torch-zip"])
    torch.save(WEIGHTS, paths["torch-legacy"], _use_new_zipfile_serialization=False)
    with paths["pickle"].open("wb") as stream:
        pickle.dump(WEIGHTS, stream)
    return paths


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth", "model.h5", "model", "model.json", "model.txt"])
def test_the_name_of_a_file_never_decides(name: str, tmp_path: Path) -> None:
    """People rename files, and programs write formats under each other's endings."""
    for container, source in write_each(tmp_path).items():
        path = tmp_path / "renamed" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(source, path)
        assert container_name(path) == container
        with closing(open_container(path)) as opened:
            assert opened.source.container == container
            assert set(opened.describe().tensors) == set(WEIGHTS)


def test_a_misleading_ending_is_told_and_a_customary_one_is_not() -> None:
    """`.pth.tar` is a habit for zip files; a safetensors file called `.pth` stops every loader."""
    assert misnamed("a/model.pth", "safetensors") == "its name ends in .pth, and its content is safetensors"
    assert misnamed("model.SAFETENSORS", "torch-zip") is not None
    assert misnamed("model.onnx", "torch-zip") is not None
    for name, container in (
        ("m.pth.tar", "torch-zip"),
        ("m.bin", "torch-legacy"),
        ("m", "safetensors"),
        ("m.safetensors", "safetensors"),
    ):
        assert misnamed(name, container) is None


UNNEEDED = {
    "safetensors": r"intact\.containers\.(torch_|plain|pickle|zips|archives|impostors|shard)",
    "torch-zip": r"intact\.containers\.(safetensors|torch_tar|plain_pickle|archives|impostors|shard)",
}


@pytest.mark.parametrize("container", UNNEEDED)
def test_opening_a_file_imports_no_code_of_other_formats(container: str, tmp_path: Path) -> None:
    """Starting up is most of the time that inspecting takes."""
    code = (
        "import re, sys; from intact.containers import open_container; open_container(sys.argv[1]).describe();"
        "print([name for name in sys.modules if re.match(sys.argv[2], name)])"
    )
    path = write_each(tmp_path)[container]
    command = [sys.executable, "-c", code, str(path), f"{UNNEEDED[container]}|(torch|numpy|rapidfuzz)$"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_one_checkpoint_of_a_folder_is_opened(tmp_path: Path) -> None:
    """A folder as the Hub has it: configuration, vocabulary, licence, one file of weights."""
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    for name in ("config.json", "README.md", "vocab.txt", "LICENSE", ".gitattributes"):
        (tmp_path / name).write_text('{"a": 1}')
    (tmp_path / "runs").mkdir()
    with closing(open_container(tmp_path)) as container:
        assert container.source.path == str(tmp_path / "model.safetensors")


def test_training_state_beside_the_weights_is_not_taken_for_another_checkpoint(tmp_path: Path) -> None:
    """Trainers write optimizer and random state beside the model."""
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    for name in (
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "rng_state_0.pth",
        "training_args.bin",
        "random_states_0.pkl",
        "scaler.pt",
    ):
        torch.save({"step": torch.ones(1)}, tmp_path / name)
    with closing(open_container(tmp_path)) as container:
        assert container.source.container == "safetensors"
    (tmp_path / "model.safetensors").unlink()
    for name in ("scheduler.pt", "rng_state.pth", "rng_state_0.pth", "training_args.bin", "random_states_0.pkl", "scaler.pt"):
        (tmp_path / name).unlink()
    with closing(open_container(tmp_path)) as container:
        assert container.source.path.endswith("optimizer.pt")


def test_two_checkpoints_of_a_folder_are_the_users_choice(tmp_path: Path) -> None:
    """Which of two is meant must not be guessed: one may be stale."""
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    torch.save(WEIGHTS, tmp_path / "pytorch_model.bin")
    with pytest.raises(NotACheckpoint, match=r"2 checkpoints: `model.safetensors`, `pytorch_model.bin`") as caught:
        open_container(tmp_path)
    assert caught.value.code == "file/several-checkpoints"


def test_a_set_beside_a_single_file_is_the_users_choice_too(tmp_path: Path) -> None:
    """An index and a whole file are two checkpoints."""
    save_file({"a": torch.ones(1)}, tmp_path / "model-00001-of-00001.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    open_container(tmp_path).close()
    save_file({"a": torch.zeros(1)}, tmp_path / "consolidated.safetensors")
    with pytest.raises(NotACheckpoint, match=r"`model.safetensors.index.json`, `consolidated.safetensors`"):
        open_container(tmp_path)


def test_a_set_whose_shards_have_other_names_is_one_checkpoint(tmp_path: Path) -> None:
    """The index says what belongs to it, whatever the files are called."""
    save_file({"a": torch.ones(1)}, tmp_path / "first.safetensors")
    save_file({"b": torch.ones(1)}, tmp_path / "second.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "first.safetensors", "b": "./second.safetensors"}}'
    )
    with closing(open_container(tmp_path)) as container:
        assert set(container.describe().tensors) == {"a", "b"}


def test_an_index_of_something_else_is_not_an_index_of_shards(tmp_path: Path) -> None:
    """Search libraries and data sets write files of that name too."""
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "faiss.index.json").write_text('{"dimension": 768}')
    with closing(open_container(tmp_path)) as container:
        assert container.source.container == "safetensors"


def test_a_folder_of_pointers_says_what_they_are(tmp_path: Path) -> None:
    """A clone without git-lfs has the names and not the files."""
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Damaged) as caught:
        open_container(tmp_path)
    assert caught.value.code == "file/lfs-pointer"


def test_other_kinds_of_folders_are_named(tmp_path: Path) -> None:
    """Each needs another way to be read, and listing its files would not tell."""
    dcp, saved, empty, docs = (tmp_path / name for name in ("dcp", "saved", "empty", "docs"))
    for folder in (dcp, saved, empty, docs / "weights"):
        folder.mkdir(parents=True)
    (dcp / ".metadata").write_bytes(b"\x80\x04.")
    (dcp / "__0_0.distcp").write_bytes(b"PK")
    (saved / "saved_model.pb").write_bytes(b"\x08\x01")
    (docs / "README.md").write_text("hello")
    for folder, code, words in (
        (dcp, "file/bad-header", "torch.distributed.checkpoint"),
        (saved, "file/foreign-format", "SavedModel"),
        (empty, "file/not-a-checkpoint", "the folder is empty"),
        (docs, "file/not-a-checkpoint", "`README.md`, `weights/`"),
    ):
        with pytest.raises(CannotRead, match=words) as caught:
            open_container(folder)
        assert caught.value.code == code


def test_an_unpacked_archive_is_recognised_as_torch_writes_it(tmp_path: Path) -> None:
    """Somebody unzipped a checkpoint, or a browser did."""
    torch.save(WEIGHTS, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        archive.extractall(tmp_path / "out")
    for path in (tmp_path / "out" / "model", tmp_path / "out" / "model" / "data.pkl"):
        report = intact.check(path)
        assert [finding.code for finding in report.findings] == ["file/unpacked-archive"]
        assert all(torch.equal(value, WEIGHTS[key]) for key, value in intact.read(path).items())
    (tmp_path / "out" / "model" / "data" / "0").unlink()
    (tmp_path / "out" / "model" / "data" / "0").symlink_to(tmp_path / "model.pt")
    with pytest.raises(CannotRead) as caught:
        intact.read(tmp_path / "out" / "model")
    assert caught.value.code == "safety/path-traversal"


def test_a_missing_path_offers_the_nearest_name(tmp_path: Path) -> None:
    """Most missing files are typing errors."""
    (tmp_path / "resnet18_best.pth").touch()
    with pytest.raises(CannotRead, match=r"did you mean .*resnet18_best.pth\?"):
        open_container(tmp_path / "resnet18-best.pth")
    with pytest.raises(CannotRead) as caught:
        open_container(tmp_path / "zzz")
    assert "did you mean" not in str(caught.value)
    with pytest.raises(CannotRead, match="no folder"):
        open_container(tmp_path / "no" / "model.pth")
    with pytest.raises(CannotRead):
        open_container(tmp_path / "resnet18_best.pth" / "x")


def test_a_link_that_leads_nowhere_is_called_that(tmp_path: Path) -> None:
    """`no such file` would be disbelieved: the name is there."""
    (tmp_path / "model.pth").symlink_to("../blobs/abc")
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    for path in (tmp_path / "model.pth", tmp_path):
        with pytest.raises(Damaged) as caught:
            open_container(path)
        assert caught.value.code == "file/dangling-link"
    with pytest.raises(CannotRead):
        open_container(tmp_path / "loop.pth")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_typed_error(tmp_path: Path) -> None:
    """Permissions are a reason that a user can act on."""
    path = tmp_path / "model.pth"
    path.touch(mode=0o000)
    with pytest.raises(CannotRead, match="Permission denied"):
        open_container(path)


def test_every_row_of_the_table_is_a_format() -> None:
    """The rows import their modules late; a wrong name would be found by a user."""
    for name in FORMATS.builtin():
        assert callable(FORMATS[name].matches)
        assert callable(FORMATS[name].open_file)
        assert FORMATS[name].certain or name in ("torch-zip", "pickle")
