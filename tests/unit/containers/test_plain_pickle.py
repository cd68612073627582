"""Files that `pickle.dump` wrote: with the storages inside, with several pickles, and with numbers in nested lists."""

from __future__ import annotations

import collections
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from intact.containers.pickled import PickledContainer
from intact.containers.plain_pickle import matches, open_file
from intact.errors import Damaged, TooLarge
from intact.files.reading import BoundedFile


def opened(path: Path) -> PickledContainer:
    """The file as a container of this format."""
    return open_file(BoundedFile(path))


def written(folder: Path, raw: bytes) -> Path:
    """A file of these bytes."""
    path = folder / "model.pkl"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_a_state_dict_of_any_protocol(protocol: int, tmp_path: Path) -> None:
    """Each tensor brings a small file of torch along, as bytes or, in old protocols, as text."""
    state = {"w": torch.arange(6.0).reshape(2, 3), "n": np.arange(3), "big": torch.zeros(40000)}
    path = written(tmp_path, pickle.dumps(state, protocol))
    assert matches(BoundedFile(path))
    container = opened(path)
    description = container.describe()
    assert {key: info.shape for key, info in description.tensors.items()} == {"w": (2, 3), "big": (40000,)}
    assert [(extra.path, extra.kind, extra.text) for extra in description.extras] == [("n", "ndarray", "int64 [3]")]
    storage = container.record("w").storage
    assert storage is not None
    assert struct.unpack("<6f", container.storage_bytes(storage)) == (0, 1, 2, 3, 4, 5)
    assert container.source.container == "pickle"
    assert description.foreign == ()


def test_a_whole_model(tmp_path: Path) -> None:
    """Modules are described as their state dict would be."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    description = opened(written(tmp_path, pickle.dumps(model))).describe()
    assert list(description.tensors) == list(model.state_dict())
    assert {key: info.role for key, info in description.tensors.items()}["1.running_mean"] == "buffer"


def test_names_of_later_pickles_in_the_file_are_told(tmp_path: Path) -> None:
    """The first one may be harmless, and programs that load one after another run the second."""
    raw = pickle.dumps({"a": 1}) + b"\x80\x02cos\nsystem\nU\x02ls\x85R." + b"rest"
    (name,) = opened(written(tmp_path, raw)).describe().foreign
    assert (name.name, name.called) == ("os.system", True)
    assert raw[name.position : name.position + 4] == b"cos\n"


def test_tensors_of_nested_lists(tmp_path: Path) -> None:
    """torch's first releases pickled the numbers themselves."""
    lists = pickle.dumps([[1.0, 2.0], [3.0, 4.0]], 2)[2:-1]
    container = opened(written(tmp_path, b"\x80\x02ctorch\nDoubleTensor\n" + lists + b"\x85R."))
    record = container.record("")
    assert (record.dtype, record.shape, record.stride) == ("float64", (2, 2), (2, 1))
    assert record.storage is not None
    assert struct.unpack("<4d", container.storage_bytes(record.storage)) == (1, 2, 3, 4)


@pytest.mark.parametrize("lists", [[[1.0], [2.0, 3.0]], [1.0, "a"], [[1.0], 2.0], [10**400]])
def test_lists_that_are_no_tensor_stay_a_record(lists: list[object], tmp_path: Path) -> None:
    """Ragged lists and texts never came from torch."""
    raw = b"\x80\x02ctorch\nFloatTensor\n" + pickle.dumps(lists, 2)[2:-1] + b"\x85R."
    try:
        assert not opened(written(tmp_path, raw)).describe().tensors
    except Damaged as error:
        assert error.code == "file/bad-header"  # noqa: PT017 - a number that no float can hold


def test_lists_that_share_parts_are_bounded(tmp_path: Path) -> None:
    """Ten lists of ten, ten levels deep, are ten billion numbers in a hundred bytes."""
    levels = b"".join(b"(" + b"h" + bytes([i]) + b"2" * 9 + b"lq" + bytes([i + 1]) + b"0" for i in range(9))
    raw = b"\x80\x02ctorch\nFloatTensor\n(" + b"G?\xf0\x00\x00\x00\x00\x00\x00" * 10 + b"lq\x000" + levels + b"h\x09\x85R."
    with pytest.raises(TooLarge):
        opened(written(tmp_path, raw))


def test_files_in_files_in_files_are_bounded(tmp_path: Path) -> None:
    """Each level is parsed by the same code, which must not run out of stack."""
    inner = b"N."
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    for _ in range(50):
        loaded = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."
        inner = magic + loaded + b"\x80\x02]."
    with pytest.raises(TooLarge):
        opened(written(tmp_path, loaded))


def test_names_inside_such_files_are_told(tmp_path: Path) -> None:
    """torch unpickles them without any restriction."""
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    inner = magic + b"\x80\x02cos\nsystem\nU\x02ls\x85R.\x80\x02]."
    raw = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."
    assert [name.name for name in opened(written(tmp_path, raw)).describe().foreign] == ["os.system"]


@pytest.mark.parametrize("raw", [b"hello, world.", b"checkpoint.", b"", b"{}", b"\x89PNG\r\n", b"PK\x03\x04", b"import os.\n"])
def test_texts_and_other_files_are_no_pickles(raw: bytes, tmp_path: Path) -> None:
    """Nearly any byte is an opcode; a guess would call a letter a damaged checkpoint."""
    assert not matches(BoundedFile(written(tmp_path, raw)))


def test_an_ordered_dict_keeps_the_versions_of_its_modules(tmp_path: Path) -> None:
    """torch migrates old buffers by these numbers."""
    state = nn.BatchNorm1d(2).state_dict()
    assert isinstance(state, collections.OrderedDict)
    assert opened(written(tmp_path, pickle.dumps({"net": state}))).describe().metadata == {"net": 2}
