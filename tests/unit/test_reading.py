"""What `torch.load` would give, held against `torch.load` itself: values, identity, shared memory, layouts and records."""

from __future__ import annotations

import collections
import pickle
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intact.containers import open_container
from intact.core.container import Foreign
from intact.errors import CannotRead, Damaged
from intact.reading import read_objects, read_tensor, read_values

pytestmark = [
    pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning"),
]
FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]
COMPLEX = ["complex32", "complex64", "complex128"]


class Subclass(torch.Tensor):
    """A tensor of a class of somebody else."""


def saved(folder: Path, content: Any, *, legacy: bool = False) -> Path:
    """A file as torch writes it."""
    path = folder / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def read(path: Path) -> Any:
    """Everything in a file; the file is closed before anything is used."""
    with closing(open_container(path)) as container:
        return read_objects(container)


def bits(tensor: torch.Tensor) -> bytes:
    """The values of a tensor as bytes, so that nan equals nan."""
    plain = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach().resolve_conj().resolve_neg())
    return bytes(plain.reshape(-1).view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_dtype_has_its_values(legacy: bool, tmp_path: Path) -> None:
    """A dtype that is read as another one of the same width is the worst kind of damage."""
    base = torch.tensor([0.0, 1.0, 2.5, 100.0])
    content = {name: base.to(getattr(torch, name)) for name in FLOATS + INTEGERS + COMPLEX}
    path = saved(tmp_path, content, legacy=legacy)
    found = read(path)
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: tensor.dtype for name, tensor in content.items()}
    assert {name: bits(tensor) for name, tensor in found.items()} == {name: bits(tensor) for name, tensor in content.items()}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_identity_and_shared_memory_are_kept(legacy: bool, tmp_path: Path) -> None:
    """A tied model that comes back untied trains two heads."""
    base = torch.arange(12.0)
    shared = [base]
    content: dict[str, Any] = {"a": base, "b": base, "view": base[2:8:2], "turned": base.view(3, 4).t(), "l": shared, "m": shared}
    content["self"] = (content, shared)
    found = read(saved(tmp_path, content, legacy=legacy))
    assert found["a"] is found["b"] is found["l"][0]
    assert found["l"] is found["m"]
    assert found["self"][0] is found
    found["a"][4] = 99.0
    assert found["view"].tolist() == [2.0, 99.0, 6.0]
    assert found["turned"].stride() == (1, 4)
    assert found["turned"][0, 1] == 99.0


def test_writing_to_a_tensor_never_reaches_the_file(tmp_path: Path) -> None:
    """Tensors lie over the file's own bytes, as copy-on-write."""
    path = saved(tmp_path, {"w": torch.ones(1000)})
    before = path.read_bytes()
    read(path)["w"].zero_()
    assert path.read_bytes() == before


def test_parameters_flags_and_versions(tmp_path: Path) -> None:
    """What a state dict carries beside values."""
    state = nn.Sequential(nn.BatchNorm1d(2)).state_dict()
    content = {
        "p": nn.Parameter(torch.ones(2)),
        "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
        "grad": torch.ones(2, requires_grad=True),
        "state": state,
    }
    found = read(saved(tmp_path, content))
    assert isinstance(found["p"], nn.Parameter)
    assert [found[key].requires_grad for key in ("p", "frozen", "grad")] == [True, False, True]
    assert not isinstance(found["grad"], nn.Parameter)
    assert type(found["state"]) is collections.OrderedDict
    assert found["state"]._metadata == state._metadata  # type: ignore[attr-defined]


def test_layouts_other_than_strided(tmp_path: Path) -> None:
    """Sparse, nested, meta, conjugated and quantized tensors."""
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    content = {
        "coo": dense.to_sparse(),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((1, 1)),
        "meta": torch.empty(2, 3, device="meta"),
        "conj": torch.complex(dense, dense).conj(),
        "neg": torch._neg_view(dense),
        "quantized": torch.quantize_per_tensor(dense, 0.5, 3, torch.quint8),
        "channels": torch.quantize_per_channel(dense, torch.tensor([0.5, 0.25]), torch.tensor([1, 2]), 0, torch.qint8),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.zeros(3)]),
    }
    path = saved(tmp_path, content)
    found, loaded = read(path), torch.load(path)
    for key in ("coo", "csr", "csc", "bsr"):
        assert found[key].layout == loaded[key].layout
        assert torch.equal(found[key].to_dense(), dense)
    assert found["coo"].is_coalesced() == loaded["coo"].is_coalesced()
    assert found["meta"].is_meta
    assert found["conj"].is_conj()
    assert found["neg"].is_neg()
    assert torch.equal(found["conj"], content["conj"])
    assert torch.equal(found["neg"], content["neg"])
    for key in ("quantized", "channels"):
        assert torch.equal(found[key].dequantize(), content[key].dequantize())
        assert found[key].qscheme() == content[key].qscheme()
    assert [part.tolist() for part in found["nested"].unbind()] == [[1.0, 1.0], [0.0, 0.0, 0.0]]


def test_plain_data_of_every_kind(tmp_path: Path) -> None:
    """Compared with what torch gives when it is told to trust the file, which this test wrote itself."""
    content = {
        "numbers": [1, 2.5, True, None, 1 + 2j, 10**30],
        "texts": ["a", b"b", bytearray(b"c")],
        "sets": ({1}, frozenset({2})),
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("ab"),
        "default": collections.defaultdict(list, a=[1]),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cuda:1"),
        "layout": torch.sparse_coo,
        "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.float32(0.5),
        "bools": np.array([True, False]),
        "range": range(3),
        "slice": slice(1, 2, None),
    }
    path = saved(tmp_path, content)
    found, loaded = read(path), torch.load(path, weights_only=False)
    for key in content:
        same = np.array_equal(found[key], loaded[key]) if isinstance(loaded[key], np.ndarray) else found[key] == loaded[key]
        assert same, key
        assert type(found[key]) is type(loaded[key]), key
    found["default"]["new"].append(1)


def test_objects_of_other_classes_are_records_with_tensors_inside(tmp_path: Path) -> None:
    """Nothing of theirs is imported, and nothing they hold is lost."""
    net = nn.Linear(2, 1)
    found = read(saved(tmp_path, {"net": net, "sub": torch.ones(2).as_subclass(Subclass)}))
    record = found["net"]
    assert isinstance(record, Foreign)
    assert record.name == "torch.nn.modules.linear.Linear"
    assert torch.equal(record.state["_parameters"]["weight"], net.weight)
    assert found["sub"].name == f"{__name__}.Subclass"


def test_a_tensor_of_a_foreign_class_can_still_be_read_by_its_key(tmp_path: Path) -> None:
    """Libraries wrap tensors to carry metadata; the values are plain."""
    path = saved(tmp_path, {"sub": torch.arange(3.0).as_subclass(Subclass)})
    with closing(open_container(path)) as container:
        assert read_tensor(container, "sub").tolist() == [0.0, 1.0, 2.0]


def test_single_tensors_and_groups_by_key(tmp_path: Path) -> None:
    """A plan reads what it needs, and no more."""
    base = torch.arange(4.0)
    path = saved(tmp_path, {"m": {"a": base, "b": base[1:]}, "c": torch.ones(1)})
    with closing(open_container(path)) as container:
        assert read_tensor(container, "m.b").tolist() == [1.0, 2.0, 3.0]
        found = read_values(container, ["m.a", "m.b"])
    found["m.a"][1] = 7.0
    assert found["m.b"][0] == 7.0


def test_a_file_of_a_big_endian_machine(tmp_path: Path) -> None:
    """Every width has its own order of bytes; a complex number is two of them."""
    content = {
        name: torch.tensor([1, 2, 3]).to(getattr(torch, name)) for name in ("float64", "int16", "complex64", "uint8", "bfloat16")
    }
    path = saved(tmp_path, content)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    widths = [8, 2, 4, 1, 2]
    for number, width in enumerate(widths):
        raw = members[f"model/data/{number}"]
        members[f"model/data/{number}"] = b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
    members["model/byteorder"] = b"big"
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    assert {name: tensor.tolist() for name, tensor in read(path).items()} == {
        name: tensor.tolist() for name, tensor in content.items()
    }


def test_pickles_without_a_container(tmp_path: Path) -> None:
    """`pickle.dump` of a model or of its state dict."""
    path = tmp_path / "model.pkl"
    base = torch.arange(4.0)
    path.write_bytes(pickle.dumps({"a": base, "b": base.double(), "array": np.ones(2)}))
    found = read(path)
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].dtype == torch.float64
    assert found["array"].tolist() == [1.0, 1.0]


def test_nesting_of_any_depth(tmp_path: Path) -> None:
    """Reading must not recurse either."""
    path = tmp_path / "deep.pkl"
    path.write_bytes(b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".")
    found, depth = read(path), 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 99999


def test_a_dtype_this_torch_does_not_have(tmp_path: Path) -> None:
    """Described in full; only its values need a newer torch."""
    path = saved(tmp_path, {"w": torch.ones(4).to(torch.float8_e5m2), "v": torch.ones(1)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).replace(b"float8_e5m2\n", b"float8_e9m9\n") for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    with closing(open_container(path)) as container:
        assert container.describe().tensors["w"].dtype == "float8_e9m9"
        assert read_tensor(container, "v").tolist() == [1.0]
        with pytest.raises(CannotRead) as caught:
            read_tensor(container, "w")
    assert caught.value.code == "version/needs-newer-torch"


def test_indices_of_sparse_tensors_are_checked(tmp_path: Path) -> None:
    """Out of range, they would write into memory that belongs to something else."""
    hostile = torch.sparse_coo_tensor(torch.tensor([[0, 9]]), torch.ones(2), (10,), check_invariants=True)
    path = saved(tmp_path, {"s": hostile})
    raw = path.read_bytes().replace((9).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little"))
    path.write_bytes(raw)
    with pytest.raises(Damaged):
        read(path)
