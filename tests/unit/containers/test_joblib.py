"""What `joblib.dump` writes: arrays raw in the stream of the pickle, compressed or not."""

from __future__ import annotations

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import intact
from intact.containers import open_container
from intact.containers.pickles.machine import BUDGET_UNITS, BUDGET_UNITS_FOR_A_BYTE, Machine
from intact.containers.pickles.opcodes import TABLE

COMPRESSIONS: dict[str, Any] = {
    "plain": 0,
    "zlib-1": ("zlib", 1),
    "zlib-3": ("zlib", 3),
    "zlib-9": ("zlib", 9),
    "gzip": ("gzip", 3),
    "bz2": ("bz2", 3),
    "lzma": ("lzma", 3),
    "xz": ("xz", 3),
}

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "c": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
    "big": np.arange(5, dtype=">i4"),
    "half": np.arange(7, dtype=np.float16),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_arrays_come_back_with_all_their_values(tmp_path: Path, compression: str) -> None:
    """In every order and byte order, with what stands beside them."""
    path = tmp_path / "a.joblib"
    joblib.dump(
        {**ARRAYS, "names": ["a"], "objects": np.array(["x", None], dtype=object), "n": 3}, path, COMPRESSIONS[compression]
    )
    read = intact.read(path)
    for key, array in ARRAYS.items():
        assert (read[key].dtype, read[key].shape) == (array.dtype, array.shape)
        assert np.array_equal(read[key], array)
    assert (read["names"], read["n"]) == (["a"], 3)
    report = intact.check(path)
    assert report.verdict == "repairable"
    assert any("joblib.dump" in finding.headline for finding in report.findings)
    assert "version/missing-class" not in [finding.code for finding in report.findings]


def test_weights_are_loaded_from_arrays(tmp_path: Path) -> None:
    """A state dict of arrays, as people keep it beside estimators."""
    source, target = nn.Linear(3, 4), nn.Linear(3, 4)
    joblib.dump({key: value.numpy() for key, value in source.state_dict().items()}, tmp_path / "w.joblib", compress=3)
    intact.load_into(target, tmp_path / "w.joblib")
    assert torch.equal(target.weight, source.weight)


def test_an_array_that_stands_twice_is_read_twice(tmp_path: Path) -> None:
    """Joblib writes it again, and nothing behind it may shift."""
    array = np.arange(3.0)
    joblib.dump([array, array, "end"], tmp_path / "twice.joblib")
    first, second, end = intact.read(tmp_path / "twice.joblib")
    assert np.array_equal(first, array)
    assert np.array_equal(second, array)
    assert end == "end"


@pytest.mark.parametrize("cut", [1, 20, 200, 400])
def test_a_file_that_ends_early_is_called_so(tmp_path: Path, cut: int) -> None:
    """Within an array, or between two."""
    joblib.dump({"a": np.arange(50.0), "b": np.arange(50.0)}, tmp_path / "a.joblib")
    data = (tmp_path / "a.joblib").read_bytes()
    (tmp_path / "a.joblib").write_bytes(data[:-cut])
    assert intact.check(tmp_path / "a.joblib").verdict in ("damaged", "incompatible")


def _header(**changes: Any) -> bytes:
    """A pickle of a header alone, as joblib writes one, with other contents."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    wrapper = NumpyArrayWrapper(np.ndarray, (2,), "C", np.dtype("f8"), numpy_array_alignment_bytes=16)
    wrapper.__dict__.update(changes)
    return pickle.dumps(wrapper, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (1 << 62, 1 << 62)},
        {"shape": (-1,)},
        {"shape": (1 << 40,)},
        {"shape": "x"},
        {"shape": (2.5,)},
        {"dtype": None},
        {"dtype": np.dtype("V8")},
        {"dtype": np.dtype([("a", "f8")])},
        {"dtype": np.dtype("O")},
        {"order": 7},
        {"numpy_array_alignment_bytes": "x"},
    ],
    ids=str,
)
def test_headers_that_lie_are_refused_in_bounds(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Nothing is set aside that the file does not hold."""
    data = _header(**changes)
    stop = data.rindex(b".")
    (tmp_path / "lie.joblib").write_bytes(data[:stop] + b"\x00" + bytes(16) + b".")
    try:
        container = open_container(tmp_path / "lie.joblib")
    except intact.IntactError:
        return
    with closing(container):
        container.describe()


def test_nothing_named_in_an_array_of_objects_is_passed_over(tmp_path: Path) -> None:
    """It is a pickle inside the stream; joblib unpickles it like the rest."""

    class Run:
        def __reduce__(self) -> Any:
            import os

            return os.system, ("true",)

    array = np.empty(1, dtype=object)
    array[0] = Run()
    joblib.dump({"a": array, "b": np.arange(3.0)}, tmp_path / "run.joblib")
    report = intact.check(tmp_path / "run.joblib")
    assert report.verdict == "unsafe"
    assert "system" in report.findings[0].headline


def test_a_tensor_within_objects_that_reaches_outside_is_found(tmp_path: Path) -> None:
    """The pickle inside the stream is held to the same bounds."""
    array = np.empty(1, dtype=object)
    array[0] = torch.arange(4.0)
    joblib.dump({"a": array}, tmp_path / "t.joblib")
    data = (tmp_path / "t.joblib").read_bytes()
    at = data.rindex(b"K\x04\x85")  # the shape of the tensor
    (tmp_path / "t.joblib").write_bytes(data[:at] + b"K\x7f\x85" + data[at + 3 :])
    with pytest.raises(intact.Damaged) as caught:
        open_container(tmp_path / "t.joblib")
    assert caught.value.code == "file/storage-bounds"


def test_many_pickles_in_one_stream_share_one_budget(tmp_path: Path) -> None:
    """Each of them could ask for as much as a file of its own may."""
    joblib.dump(np.array([None] * 3, dtype=object), tmp_path / "one.joblib")
    data = (tmp_path / "one.joblib").read_bytes()
    inside = data.rindex(b"\x80")
    greedy = b"\x80\x02(" + b"K\x01" * 2000 + b"l" + b"2(K\x01e0" * 2000 + b"."
    whole = data[:inside] + greedy + data[data.rindex(b".") :]
    (tmp_path / "greedy.joblib").write_bytes(whole)
    machine = Machine(whole)
    machine.run(TABLE)
    alone = Machine(greedy)
    alone.run(TABLE)
    spent = len(whole) * BUDGET_UNITS_FOR_A_BYTE + BUDGET_UNITS - machine.unspent
    spent_alone = len(greedy) * BUDGET_UNITS_FOR_A_BYTE + BUDGET_UNITS - alone.unspent
    assert spent >= spent_alone > 2000
