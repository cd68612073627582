"""Folders of torch.distributed.checkpoint: whole tensors out of chunks, and nothing of their metadata is run."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata
from torch.distributed.checkpoint.state_dict_saver import save

import intact
from intact.containers import open_container
from intact.containers.dcp_assembly import overlap
from intact.containers.dcp_metadata import Chunk
from intact.errors import CannotRead, Damaged


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)


def state() -> dict[str, Any]:
    """A model with an optimizer that has made a step, and plain entries."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 3, "names": ["a", {"deep": (1, 2)}]}


def saved(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Writes a checkpoint as one process does it."""
    path = folder / "step"
    save(state() if content is None else content, checkpoint_id=path, no_dist=True)
    return path


def in_chunks(path: Path, key: str, cuts: list[tuple[tuple[int, ...], tuple[int, ...]]], whole: torch.Tensor) -> None:
    """Writes a tensor of an existing checkpoint anew, in chunks, as several ranks do it."""
    from io import BytesIO

    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import MetadataIndex

    metadata = pickle.loads((path / ".metadata").read_bytes())  # written by this test
    record = metadata.state_dict_metadata[key]
    record.chunks = [ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes in cuts]
    record.size = whole.size()
    for index in [index for index in metadata.storage_data if index.fqn == key]:
        del metadata.storage_data[index]
    for number, (offsets, sizes) in enumerate(cuts):
        part = whole[tuple(slice(begin, begin + size) for begin, size in zip(offsets, sizes, strict=True))].clone()
        buffer = BytesIO()
        torch.save(part, buffer)
        file = f"__{number}_1.distcp"
        (path / file).write_bytes(buffer.getvalue())
        metadata.storage_data[MetadataIndex(key, torch.Size(offsets), number)] = _StorageInfo(file, 0, len(buffer.getvalue()))
    (path / ".metadata").write_bytes(pickle.dumps(metadata))


def test_everything_comes_back_in_its_nesting(tmp_path: Path) -> None:
    """Without torch.distributed, and without unpickling the metadata."""
    content = state()
    read = intact.read(saved(tmp_path, content))
    assert read["epoch"] == 3
    assert read["names"] == content["names"]
    for key, value in content["model"].items():
        assert torch.equal(read["model"][key], value)
    assert torch.equal(read["optim"]["state"]["0"]["exp_avg"], content["optim"]["state"][0]["exp_avg"])
    assert read["optim"]["param_groups"][0]["lr"] == content["optim"]["param_groups"][0]["lr"]


def test_a_model_loads_from_the_folder(tmp_path: Path) -> None:
    """The state lies under `model`, as in every training checkpoint."""
    path = saved(tmp_path)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    report = intact.load_into(model, path)
    assert report.verdict in ("intact", "repairable")
    assert all(torch.equal(value, state()["model"][key]) for key, value in model.state_dict().items())
    assert intact.verify(path).verdict == "intact"


@pytest.mark.parametrize(
    "cuts",
    [
        [((0, 0), (3, 6)), ((3, 0), (2, 6))],
        [((0, 0), (5, 4)), ((0, 4), (5, 2))],
        [((0, 0), (2, 2)), ((0, 2), (2, 4)), ((2, 0), (3, 2)), ((2, 2), (3, 4))],
        [((0, 0), (5, 6)), ((5, 0), (0, 6))],
    ],
)
def test_chunks_of_any_cut_make_the_whole(cuts: list[tuple[tuple[int, ...], tuple[int, ...]]], tmp_path: Path) -> None:
    """Rows, columns, a mesh of devices, and ranks that hold nothing."""
    path, whole = saved(tmp_path), torch.randn(5, 6)
    in_chunks(path, "model.0.weight", cuts, whole)
    assert torch.equal(intact.read(path)["model"]["0.weight"], whole)


@pytest.mark.parametrize("cuts", [[((0, 0), (3, 6))], [((0, 0), (3, 6)), ((2, 0), (2, 6))], [((0, 0), (5, 5)), ((0, 1), (5, 1))]])
def test_chunks_that_make_no_whole_are_refused(cuts: list[tuple[tuple[int, ...], tuple[int, ...]]], tmp_path: Path) -> None:
    """A gap would be zeros, and an overlap the value of whoever came last."""
    path = saved(tmp_path)
    in_chunks(path, "model.0.weight", cuts, torch.randn(5, 6))
    with pytest.raises(Damaged, match="do not make a whole"):
        intact.read(path)
    found = intact.salvage(path)
    assert "model.0.weight" in found.lost
    assert torch.equal(found.tensors["model.1.weight"], state()["model"]["1.weight"])


def test_a_file_that_ends_early_is_named_with_what_is_whole(tmp_path: Path) -> None:
    """A disk was full on one node."""
    path = saved(tmp_path)
    with (path / "__0_0.distcp").open("r+b") as file:
        file.truncate((path / "__0_0.distcp").stat().st_size // 2)
    report = intact.check(path)
    assert report.verdict == "damaged"
    assert report.findings[0].code == "file/truncated"
    assert "__0_0.distcp" in report.findings[0].headline
    found = intact.salvage(path)
    assert found.tensors
    assert found.lost


def test_a_flipped_bit_in_a_chunk_is_noticed_and_named(tmp_path: Path) -> None:
    """torch does not look at the CRC-32 of its own records."""
    path = saved(tmp_path)
    file = path / "__0_0.distcp"
    raw = bytearray(file.read_bytes())
    raw[bytes(raw).index(state()["model"]["1.weight"].numpy().tobytes()) + 5] ^= 16
    file.write_bytes(raw)
    report = intact.check(path)
    assert report.verdict == "damaged"
    assert report.findings[0].keys == ("model.1.weight",)


def test_missing_files_are_told_apart(tmp_path: Path) -> None:
    """The metadata come last; the files of a rank may lie on another disk."""
    path = saved(tmp_path)
    os.rename(path / "__0_0.distcp", tmp_path / "away")
    with pytest.raises(Damaged) as caught:
        open_container(path)
    assert caught.value.code == "file/missing-shard"
    os.rename(tmp_path / "away", path / "__0_0.distcp")
    os.unlink(path / ".metadata")
    with pytest.raises(Damaged) as caught:
        open_container(path)
    assert caught.value.code == "file/incomplete-save"


def test_metadata_of_another_form_are_damaged_and_no_accident(tmp_path: Path) -> None:
    """A record may be replaced by anything that a pickle can hold."""
    path = saved(tmp_path)
    metadata = pickle.loads((path / ".metadata").read_bytes())  # written by this test
    record = metadata.state_dict_metadata["model.0.weight"]
    for wrong in (7, {"a": 1}, object, None):
        record.chunks = wrong
        (path / ".metadata").write_bytes(pickle.dumps(metadata))
        with pytest.raises(Damaged) as caught:
            open_container(path)
        assert caught.value.code == "file/bad-header"


def test_a_place_outside_the_folder_is_not_opened(tmp_path: Path) -> None:
    """The metadata could point at any file of the reader's machine."""
    path = saved(tmp_path)
    metadata = pickle.loads((path / ".metadata").read_bytes())  # written by this test
    for info in metadata.storage_data.values():
        info.relative_path = "../secret.distcp"
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(CannotRead) as caught:
        open_container(path)
    assert caught.value.code == "safety/path-traversal"


def test_what_its_metadata_would_run_is_named_and_not_run(tmp_path: Path) -> None:
    """`dcp.load` unpickles them."""
    path = saved(tmp_path)
    mark = tmp_path / "EXECUTED"

    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    metadata = pickle.loads((path / ".metadata").read_bytes())  # written by this test
    metadata.planner_data = Payload()
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    report = intact.check(path)
    assert report.verdict == "unsafe"
    assert "system" in report.findings[0].headline
    assert set(intact.salvage(path).tensors) >= {"model.0.weight"}
    assert not mark.exists()


def test_overlap_of_hostile_chunks_ends() -> None:
    """A hundred thousand chunks that are all the same."""
    chunks = [Chunk((0, 0), (1, 1), None)] * 2 + [Chunk((n, n), (1, 1), None) for n in range(1, 50_000)]
    assert overlap(chunks)
    assert not overlap([Chunk((0, n), (7, 1), None) for n in range(20_000)])
