"""Conversion keeps values, ties and plain entries, between any two containers, and refuses what it cannot keep."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

import intact
from intact.cli.main import main

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.bool,
]  # fmt: skip


def run(*words: object) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, [str(word) for word in words])


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal, bit for bit."""
    flat = [t.detach().contiguous().reshape(-1).view(torch.uint8) if t.numel() else t.reshape(-1) for t in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(flat[0], flat[1])


def of_every_dtype() -> dict[str, torch.Tensor]:
    """Tensors of every dtype, of no elements, of one, and in strides of their own."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for dtype in DTYPES:
        width = 1 if dtype == torch.bool else dtype.itemsize
        raw = torch.randint(0, 2 if dtype == torch.bool else 256, (12 * width,), dtype=torch.uint8, generator=generator)
        state[str(dtype)[6:]] = raw.view(dtype).reshape(3, 4)
    state["scalar"] = torch.tensor(1.5)
    state["empty"] = torch.zeros(0, 7)
    state["turned"] = torch.arange(12.0).reshape(3, 4).t()
    return state


def test_there_and_back_again_keeps_every_bit(tmp_path: Path) -> None:
    """torch to safetensors to torch, and torch reads both ends by default."""
    state = of_every_dtype()
    torch.save(state, tmp_path / "a.pth")
    intact.convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    intact.convert(tmp_path / "b.safetensors", tmp_path / "c.pth")
    middle, end = load_file(tmp_path / "b.safetensors"), torch.load(tmp_path / "c.pth", weights_only=True)
    assert list(end) == list(state)
    for key, value in state.items():
        assert same(middle[key], value), key
        assert same(end[key], value), key
    assert intact.verify(tmp_path / "b.safetensors").verdict == "intact"
    mapped = torch.load(tmp_path / "c.pth", weights_only=True, mmap=True)
    assert all(same(mapped[key], value) for key, value in state.items())


def test_a_training_state_keeps_its_nesting_in_torch_and_its_entries_beside_safetensors(tmp_path: Path) -> None:
    """Nothing is dropped without a word."""
    shared = torch.randn(4, 3)
    content = {
        "model": {"embed": shared, "head": shared, "view": shared[1:3]},
        "epoch": 7,
        "best": np.float64(0.25),
        "loss": math.nan,
        "args": {"lr": 1e-3, "layers": (1, 2)},
        "counts": np.arange(3),
    }
    torch.save(content, tmp_path / "run.ckpt")
    intact.convert(tmp_path / "run.ckpt", tmp_path / "run.pth")
    read = torch.load(tmp_path / "run.pth", weights_only=True)
    assert read["model"]["embed"] is read["model"]["head"]
    assert read["model"]["view"].untyped_storage().data_ptr() == read["model"]["embed"].untyped_storage().data_ptr()
    assert read["args"] == content["args"]
    assert read["best"] == 0.25
    assert read["counts"].tolist() == [0, 1, 2]
    made = intact.convert(tmp_path / "run.ckpt", tmp_path / "run.safetensors")
    assert Path(made.extras).name == "run.extras.json"
    beside = json.loads(Path(made.extras).read_text())
    assert beside["epoch"] == 7
    assert beside["loss"] == {"float": "nan"}
    assert beside["args"] == {"lr": 1e-3, "layers": [1, 2]}
    back = intact.read(tmp_path / "run.safetensors")
    assert torch.equal(back["model.head"], shared)
    assert back["model.head"] is back["model.embed"], "a tie is kept"


def test_one_place_is_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    """The weights of a Lightning checkpoint, as other programs want them."""
    model = torch.nn.Linear(3, 2)
    torch.save({"state_dict": model.state_dict(), "ema": {"w": torch.ones(2)}}, tmp_path / "a.ckpt")
    made = intact.convert(tmp_path / "a.ckpt", tmp_path / "w.safetensors", at="state_dict")
    assert set(load_file(tmp_path / "w.safetensors")) == {"weight", "bias"}
    assert made.left_out == ("ema.w",)
    with pytest.raises(intact.IntactError, match="no tensors under"):
        intact.convert(tmp_path / "a.ckpt", tmp_path / "x.safetensors", at="nothing")


class Custom:
    """A class that is not there where the file is converted."""

    def __init__(self) -> None:
        self.name = "adam"
        self.beta = torch.ones(2)


def test_objects_of_foreign_classes_become_mappings_that_torch_loads(tmp_path: Path) -> None:
    """Their class is often gone; what they held is not."""
    torch.save({"w": torch.ones(2), "object": Custom()}, tmp_path / "a.pth")
    intact.convert(tmp_path / "a.pth", tmp_path / "b.pth")
    read: Any = torch.load(tmp_path / "b.pth", weights_only=True)
    assert read["object"]["class"].endswith("Custom")
    assert read["object"]["state"]["name"] == "adam"
    assert torch.equal(read["object"]["state"]["beta"], torch.ones(2))


@pytest.mark.parametrize("legacy", [True, False])
def test_layouts_that_safetensors_lacks_go_into_torch(legacy: bool, tmp_path: Path) -> None:
    """Sparse and quantized tensors, and dtypes without a name there."""
    state = {"sparse": torch.eye(3).to_sparse(), "complex": torch.ones(2, dtype=torch.complex128)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(intact.IntactError, match="safetensors cannot hold `sparse`, `complex`"):
        intact.convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()
    intact.convert(tmp_path / "a.pth", tmp_path / "b.pth")
    read = torch.load(tmp_path / "b.pth", weights_only=True)
    assert torch.equal(read["sparse"].to_dense(), torch.eye(3))
    assert torch.equal(read["complex"], state["complex"])


def test_a_large_checkpoint_becomes_a_set(tmp_path: Path) -> None:
    """Uploads have a largest size."""
    state = {f"layers.{n}": torch.randn(100, 100) for n in range(10)}
    torch.save(state, tmp_path / "a.pth")
    made = intact.convert(tmp_path / "a.pth", tmp_path / "b.safetensors", max_shard_bytes=100_000)
    assert made.written.endswith(".index.json")
    assert made.report.verdict == "intact"
    read = intact.read(made.written)
    assert all(torch.equal(read[key], value) for key, value in state.items())
    intact.convert(made.written, tmp_path / "c.pth")
    assert list(torch.load(tmp_path / "c.pth", weights_only=True)) == list(state)


def test_damaged_input_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """A sealed copy of a wrong value would be sealed."""
    path = tmp_path / "a.pth"
    torch.save({"w": torch.randn(1000)}, path)
    raw = bytearray(path.read_bytes())
    raw[2000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(intact.Damaged) as caught:
        intact.convert(path, tmp_path / "b.safetensors")
    assert caught.value.code == "file/checksum-mismatch"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_a_big_endian_archive_is_written_little_endian(tmp_path: Path) -> None:
    """Others do not look at the record that says so."""
    import zipfile

    torch.save({"w": torch.arange(5.0), "n": torch.arange(4)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "big.pth", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                width = 4 if len(data) == 20 else 8
                data = b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))
            new.writestr(name, data)
    for target in ("b.pth", "b.safetensors"):
        intact.convert(tmp_path / "big.pth", tmp_path / target)
        read = intact.read(tmp_path / target)
        assert torch.equal(read["w"], torch.arange(5.0))
        assert torch.equal(read["n"], torch.arange(4))


def test_the_command_converts_and_never_replaces_without_being_told(tmp_path: Path) -> None:
    """Its exit status says whether the new file was read back."""
    save_file({"w": torch.ones(3)}, tmp_path / "a.safetensors")
    result = run("convert", tmp_path / "a.safetensors", tmp_path / "b.pth")
    assert result.exit_code == 0, result.output
    assert "read back" in result.output
    assert run("convert", tmp_path / "a.safetensors", tmp_path / "b.pth").exit_code == 2
    assert run("convert", tmp_path / "a.safetensors", tmp_path / "b.pth", "--force").exit_code == 0
    assert run("convert", tmp_path / "a.safetensors", tmp_path / "a.safetensors", "--force").exit_code == 2
    data = json.loads(run("convert", tmp_path / "a.safetensors", tmp_path / "c.pth", "--json").stdout)
    assert data["tensors"] == 1
    assert run("convert", tmp_path / "a.safetensors", tmp_path / "d.safetensors", "--max-shard-size", "lots").exit_code == 2


def test_the_pickle_names_only_what_torch_needs(tmp_path: Path) -> None:
    """What is written must be loadable where nothing else is installed."""
    import zipfile

    torch.save({"w": torch.nn.Parameter(torch.ones(2)), "b": torch.ones(2, dtype=torch.uint16)}, tmp_path / "a.pth")
    intact.convert(tmp_path / "a.pth", tmp_path / "b.pth")
    with zipfile.ZipFile(tmp_path / "b.pth") as archive:
        raw = archive.read("b/data.pkl")
        assert archive.testzip() is None
    import pickletools

    names = {argument for opcode, argument, _ in pickletools.genops(raw) if opcode.name == "GLOBAL"}
    assert all(str(name).startswith(("torch", "collections OrderedDict")) for name in names), names
    assert pickle.HIGHEST_PROTOCOL >= 2
