"""Figures of casts and equality of values, read from real files: views, byte orders, hostile shapes, and exact counts."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from intact.containers import open_container
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, Source
from intact.core.rule import CastLoss
from intact.errors import CannotRead
from intact.survey import cast_loss, equal_bytes, values_equal_after_cast


class InMemory:
    """A container of one storage, in any byte order, with records that the test makes up."""

    source = Source("memory")

    def __init__(self, data: bytes, **records: TensorRecord) -> None:
        self.data, self.records = data, records

    def describe(self) -> Description:
        return Description()

    def objects(self) -> Any:
        return self.records

    def record(self, key: str) -> TensorRecord:
        return self.records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        return memoryview(self.data)

    def close(self) -> None:
        """Nothing is open."""


def saved(tmp_path: Path, **tensors: torch.Tensor) -> Container:
    """Returns a checkpoint with these tensors, opened."""
    torch.save(tensors, tmp_path / "x.pt")
    return open_container(tmp_path / "x.pt")


def loss_of(tmp_path: Path, values: torch.Tensor, dtype: str) -> CastLoss:
    """Returns the figures of casting these values."""
    loss = cast_loss(saved(tmp_path, x=values), "x", dtype)
    assert loss is not None
    return loss


def causes(loss: CastLoss) -> dict[str, int]:
    """Returns the counts that are not zero."""
    names = ("rounded", "overflowed", "underflowed", "truncated", "imaginary")
    return {name: getattr(loss, name) for name in names if getattr(loss, name)}


def held(tensor: torch.Tensor) -> Any:
    """Returns the bytes of a tensor as the model's side gives them."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (torch.tensor([1e6, 1e-9, 7e4, 0.1, 1.0]), "float16", {"overflowed": 2, "underflowed": 1, "rounded": 1}),
        (torch.tensor([inf, -inf, nan, -0.0, 0.0, 2.0]), "float16", {}),
        (torch.tensor([65519.0, 65520.0]), "float16", {"rounded": 1, "overflowed": 1}),
        (torch.tensor([1e300, 1e-300], dtype=torch.float64), "bfloat16", {"overflowed": 1, "underflowed": 1}),
        (torch.tensor([2.87, -2.5, 3.0, 0.2]), "int32", {"truncated": 3}),
        (torch.tensor([300.0, -1.0, nan, inf]), "uint8", {"overflowed": 4}),
        (torch.tensor([255, 256, -1]), "uint8", {"overflowed": 2}),
        (torch.tensor([2**24, 2**24 + 1]), "float32", {"rounded": 1}),
        (torch.tensor([2**63 - 1, -(2**63)]), "float64", {"rounded": 1}),
        (torch.tensor([1 + 0j, 1 + 2j]), "float32", {"imaginary": 1}),
        (torch.tensor([True, False]), "bfloat16", {}),
        (torch.tensor([0.0, 1.0, -0.0]), "bool", {}),
    ],
)
def test_each_changed_value_is_counted_under_its_cause(
    tmp_path: Path, values: torch.Tensor, dtype: str, expected: dict[str, int]
) -> None:
    """The figures decide what a report calls the loss, and whether the user is asked."""
    loss = loss_of(tmp_path, values, dtype)
    assert causes(loss) == expected
    assert loss.changed == sum(expected.values())
    assert loss.exact is not bool(expected)
    assert (loss.elements, loss.found, loss.expected) == (len(values), str(values.dtype)[6:], dtype)


def test_the_largest_errors_and_an_example_are_told(tmp_path: Path) -> None:
    """A person believes one value before and after more than a count."""
    values = torch.zeros(2, 3)
    values[1, 2] = 0.1
    loss = loss_of(tmp_path, values, "float16")
    error = abs(values[1, 2].item() - values[1, 2].half().item())
    assert loss.largest_absolute == pytest.approx(error)
    assert loss.largest_relative == pytest.approx(error / values[1, 2].item())
    assert loss.example == ((1, 2), values[1, 2].item(), values[1, 2].half().item())


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1)])
def test_scalars_and_empty_tensors_are_surveyed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Counters are scalars, and unused buffers are empty."""
    loss = loss_of(tmp_path, torch.full(shape, 1e9), "float16")
    assert loss.overflowed == loss.elements == torch.Size(shape).numel()


def test_more_values_than_one_chunk_are_counted_once_each(tmp_path: Path) -> None:
    """At the seam between two chunks no value may be lost or seen twice."""
    values = torch.zeros(3, 700_001)
    values[:, -1] = 1e9
    loss = loss_of(tmp_path, values, "float16")
    assert (loss.elements, loss.overflowed, loss.changed) == (2_100_003, 3, 3)
    assert loss.example is not None
    assert loss.example[0] == (0, 700_000)
    assert loss_of(tmp_path, values.t(), "float16").overflowed == 3


def test_an_expanded_tensor_costs_what_its_memory_costs() -> None:
    """A file of a kilobyte can declare more elements than anybody can look at."""
    data = np.array([1e9, 1.0, 1e9], np.float32).tobytes()
    pair = TensorRecord(Storage("0", "float32", 12), "float32", (2, 2**40), (1, 0))
    first = replace(pair, shape=(2**40,), stride=(0,))
    container = InMemory(data, x=pair, a=first, b=replace(first, offset=2), c=replace(first, offset=1))
    loss = cast_loss(container, "x", "float16")
    assert loss is not None
    assert (loss.elements, loss.overflowed) == (2**41, 2**40)
    assert loss.example is not None
    assert loss.example[0] == (0, 0)
    assert equal_bytes(container, "a", "b")
    assert not equal_bytes(container, "a", "c")


def test_windows_over_one_memory_are_not_read_for_ever() -> None:
    """Overlapping strides multiply elements just as expanding does."""
    storage = Storage("0", "float32", 4 << 20)
    windows = TensorRecord(storage, "float32", (2**19, 2**19), (1, 1))
    container = InMemory(bytes(4 << 20), a=windows, b=replace(windows, storage=replace(storage, name="1")))
    assert cast_loss(container, "a", "float16") is None
    assert not equal_bytes(container, "a", "b")


@pytest.mark.parametrize(("shape", "stride", "offset"), [((5,), (1,), 0), ((2,), (1,), 3), ((2,), (-1,), 2), ((2, 2), (3, 1), 0)])
def test_a_record_beyond_its_storage_is_not_read(shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
    """Shape, strides and offset come from a file, the bytes are what is there."""
    container = InMemory(bytes(16), x=TensorRecord(Storage("0", "float32", 16), "float32", shape, stride, offset))
    assert cast_loss(container, "x", "float16") is None
    with pytest.raises(CannotRead):
        values_equal_after_cast(container, "x", "float32", np.zeros(4 * int(np.prod(shape)), np.uint8))


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "int64", "int16", "complex64"])
def test_big_endian_values_are_the_same_values(name: str) -> None:
    """Checkpoints of s390x exist."""
    values = torch.tensor([1.5, 3e4, -2.0, 0.1]).to(getattr(torch, name))
    part = values.dtype.itemsize // 2 if values.dtype.is_complex else values.dtype.itemsize
    data = held(values).tobytes()
    swapped = b"".join(data[i : i + part][::-1] for i in range(0, len(data), part))
    record = TensorRecord(Storage("0", name, len(data), "big"), name, (4,), (1,))
    container = InMemory(swapped, x=record)
    little = InMemory(data, x=replace(record, storage=Storage("0", name, len(data))))
    for dtype in ("float16", "float32", "int8"):
        assert cast_loss(container, "x", dtype) == cast_loss(little, "x", dtype)
    assert values_equal_after_cast(
        container, "x", "float32", held(values.real.float() if part != values.dtype.itemsize else values.float())
    )


@pytest.mark.parametrize("layout", ["sparse_coo", "quantized", "meta", "nested"])
def test_other_layouts_have_no_figures(layout: str) -> None:
    """Their elements are not where a stride would look for them."""
    record = TensorRecord(None, "float32", (4,), (1,), layout=layout)
    assert cast_loss(InMemory(b"", x=record), "x", "float16") is None


@pytest.mark.parametrize(("found", "expected"), [("float32", "no_such"), ("no_such", "float32"), ("float32", "qint8")])
def test_unknown_dtypes_have_no_figures(found: str, expected: str) -> None:
    """A file may come from a newer torch."""
    record = TensorRecord(Storage("0", found, 16), found, (4,), (1,))
    assert cast_loss(InMemory(bytes(16), x=record), "x", expected) is None


def test_equal_bytes_are_equal_in_dtype_shape_and_every_bit(tmp_path: Path) -> None:
    """A tie that a format cannot express leaves two copies, and only bits tell that they are copies."""
    values = torch.randn(3, 4)
    values[0, 0] = nan
    container = saved(
        tmp_path, a=values, b=values.clone(), t=values.t().contiguous().t(), shape=values.reshape(4, 3).clone(),
        double=values.double(), zero=torch.zeros(2), minus=-torch.zeros(2),
    )  # fmt: skip
    assert equal_bytes(container, "a", "b")
    assert equal_bytes(container, "a", "t")
    assert not equal_bytes(container, "a", "shape")
    assert not equal_bytes(container, "a", "double")
    assert not equal_bytes(container, "zero", "minus")


def test_what_a_model_holds_is_compared_with_the_cast_of_the_file(tmp_path: Path) -> None:
    """A buffer that holds just the rounding of the file's values was computed by the same constructor."""
    values = torch.randn(1000, generator=torch.Generator().manual_seed(3))
    container = saved(tmp_path, x=values)
    for dtype in ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "int32"):
        cast = values.to(getattr(torch, dtype))
        assert values_equal_after_cast(container, "x", dtype, held(cast)), dtype
        other = cast.clone()
        other.view(torch.uint8)[0] ^= 1
        assert not values_equal_after_cast(container, "x", dtype, held(other)), dtype
    assert not values_equal_after_cast(container, "x", "float16", held(values[:999].half()))
