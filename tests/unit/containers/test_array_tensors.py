"""Weights that are NumPy arrays in a plain pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import intact


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool", ">f4", "complex64"])
def test_arrays_load_as_tensors_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    """In both orders of memory and of bytes."""
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"c": array, "fortran": np.asfortranarray(array), "scalar": array[0, 0, 1]}}))
    model = torch.nn.Module()
    native = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    for name in ("c", "fortran"):
        model.register_buffer(name, torch.zeros_like(native))
    report = intact.load_into(model, path)
    assert {"file/plain-pickle", "arch/nested-state"} <= {finding.code for finding in report.findings}
    assert torch.equal(model.get_buffer("c"), native)
    assert torch.equal(model.get_buffer("fortran"), native)


def test_arrays_beside_tensors_stay_what_they_are(tmp_path: Path) -> None:
    """A table of results is no weight."""
    path = tmp_path / "mixed.pkl"
    path.write_bytes(pickle.dumps({"w": torch.ones(2), "table": np.eye(2)}))
    report = intact.check(path)
    assert report.found is not None
    assert list(report.found.tensors) == ["w"]


def test_arrays_of_objects_are_not_tensors(tmp_path: Path) -> None:
    """Their content is pickled, and could be anything."""
    path = tmp_path / "objects.pkl"
    path.write_bytes(pickle.dumps({"a": np.array([{}, "x"], dtype=object), "b": np.array(["text"]), "c": np.ones(2)}))
    report = intact.check(path)
    assert report.found is not None
    assert list(report.found.tensors) == ["c"]
