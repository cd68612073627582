"""What one pass over the values of a tensor says beside their counts: a digest, and a narrower dtype that would hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128

import intact
from intact.core.statistics import Statistics
from intact.statistics_blocks import FAST, Blocks
from intact.statistics_survey import BLOCK_BYTES, FIRST_ELEMENTS, statistics_of

BLOCK = BLOCK_BYTES // 4
NAMES = "float64 float32 float16 bfloat16 float8_e4m3fn int64 int8 uint8 bool complex64"
DTYPES = [getattr(torch, name) for name in NAMES.split()]


def figures(tensor: torch.Tensor) -> Statistics:
    """Returns the figures of a tensor."""
    return statistics_of(memoryview(tensor.view(torch.uint8).numpy().tobytes()), str(tensor.dtype)[6:])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [1, 100, BLOCK + 3])
def test_the_digest_is_that_of_the_bytes(dtype: torch.dtype, count: int) -> None:
    """Whatever they are read as, and in however many blocks."""
    tensor = (torch.rand(count) * 100).to(dtype)
    assert figures(tensor).digest == xxh3_128(tensor.view(torch.uint8).numpy().tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (torch.rand(500).bfloat16().float(), "bfloat16"),
        (torch.rand(500).half().float(), "float16"),
        (torch.tensor([0.0, 1.0, 2.0, -4.0]), "bfloat16"),  # both hold them
        (torch.tensor([1.0, float("nan"), float("inf"), 2.0]), "bfloat16"),
        (torch.rand(500), ""),
        (torch.rand(500, dtype=torch.float64), ""),
        (torch.rand(500).double().float().double(), "float32"),
        (torch.full((500,), 2.0), ""),
        (torch.rand(500).half(), ""),
        (torch.tensor([1.0, 65536.0, 1 + 2**-9]), ""),
    ],
)
def test_a_narrower_dtype_that_holds_every_value_is_named(values: torch.Tensor, fits: str) -> None:
    """It tells that the file was narrower once, and could be again."""
    assert figures(values).fits == fits


@pytest.mark.parametrize("place", [0, FIRST_ELEMENTS - 1, FIRST_ELEMENTS, BLOCK - 1, BLOCK, 2 * BLOCK + 6])
def test_one_value_that_does_not_fit_is_enough(place: int) -> None:
    """In the first few, in the rest of a block, in a later block."""
    values = torch.rand(2 * BLOCK + 7).bfloat16().float()
    assert figures(values).fits == "bfloat16"
    values[place] = 1 / 3
    assert figures(values).fits == ""


def patterns(tensor: torch.Tensor) -> tuple[int, int, int]:
    """Returns rows of one value, blocks of zeros, and blocks that are there twice."""
    found = statistics_of(memoryview(tensor.view(torch.uint8).numpy().tobytes()), str(tensor.dtype)[6:], len(tensor))
    return found.constant_rows, found.zero_blocks, found.repeated_blocks


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64], ids=str)
def test_rows_and_blocks_are_counted(dtype: torch.dtype) -> None:
    """Each kind by itself, in tensors of ordinary values."""
    block = 512 // dtype.itemsize
    ordinary = (torch.randn(40, 4 * block) * 1000).to(dtype)
    assert patterns(ordinary) == (0, 0, 0)
    rows = ordinary.clone()
    rows[3], rows[7] = 5, 0
    assert patterns(rows) == (2, 4, 0)
    twice = ordinary.clone().reshape(-1)
    twice[9 * block : 10 * block] = twice[:block]
    twice[20 * block : 22 * block] = twice[: 2 * block]
    assert patterns(twice.reshape(40, -1)) == (0, 0, 3)
    almost = ordinary.clone()
    almost[3] = 5
    almost[3, 100] = 6
    assert patterns(almost)[0] == 0


def test_small_and_constant_tensors_have_no_blocks() -> None:
    """And a tensor without elements has nothing at all."""
    assert patterns(torch.ones(3, 4)) == (3, 0, 0)
    assert patterns(torch.zeros(2, 128)) == (2, 2, 0)
    assert patterns(torch.zeros(0, 5)) == (0, 0, 0)
    assert patterns(torch.arange(5)) == (0, 0, 0)


def test_the_command_says_so(tmp_path: Path) -> None:
    """In the table and in the JSON."""
    torch.save({"w": torch.rand(50).bfloat16().float(), "v": torch.rand(50)}, tmp_path / "w.pth")
    values = intact.check(tmp_path / "w.pth").values
    assert {key: row.fits for key, row in values.items()} == {"w": "bfloat16", "v": ""}


WIDTHS = {"float32": np.uint32, "bfloat16": np.uint16, "float16": np.uint16}
SPECIAL = {"float32": [0, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF], "bfloat16": [0, 1, 0x007F, 0x0080, 0x7F7F]}
SPECIAL["float16"] = [0, 1, 0x03FF, 0x0400, 0x7BFF]


@given(st.sampled_from(FAST), st.data())
def test_blocks_are_counted_as_torch_counts_them(dtype: str, data: st.DataObject) -> None:
    """Of every sign and size: all positive, all negative, zeros of both signs, numbers near zero and near infinity."""
    sign = 1 << (np.dtype(WIDTHS[dtype]).itemsize * 8 - 1)
    magnitude = st.one_of(st.sampled_from(SPECIAL[dtype]), st.integers(0, SPECIAL[dtype][-1]))
    signs = data.draw(st.sampled_from([(0,), (sign,), (0, sign)]))
    codes = data.draw(st.lists(st.builds(int.__or__, magnitude, st.sampled_from(signs)), min_size=2, max_size=40))
    raw = np.array(codes[: len(codes) // 2 * 2], WIDTHS[dtype])
    found = Blocks(dtype, len(raw)).figures(raw)
    kind = getattr(torch, dtype)
    values = torch.from_numpy(raw.view(f"i{raw.itemsize}").copy()).view(kind).double()
    if found is None:  # the sum or the squares do not fit in 32 bits
        assert values.abs().max() > 1e18
        return
    tiny = torch.finfo(kind).smallest_normal
    assert found.elements == len(raw)
    assert found.zeros == int((values == 0).sum())
    assert found.denormal == int(((values.abs() < tiny) & (values != 0)).sum())
    assert (found.minimum, found.maximum) == (float(values.min()), float(values.max()))
    assert abs(found.total - float(values.sum())) <= 1e-5 * float(values.abs().sum()) + 1e-38
    assert abs(found.squares - float((values * values).sum())) <= 1e-5 * float((values * values).sum()) + 1e-36


@pytest.mark.parametrize("dtype", FAST)
@pytest.mark.parametrize("special", [float("nan"), float("inf"), -float("inf")])
def test_a_block_with_special_values_is_left_to_the_general_way(dtype: str, special: float) -> None:
    """And counted there."""
    values = torch.randn(4001).to(getattr(torch, dtype))
    values[1234] = special
    raw = np.frombuffer(values.view(torch.uint8).numpy().tobytes(), WIDTHS[dtype])
    assert Blocks(dtype, len(raw)).figures(raw[:4000]) is None
    found = figures(values)
    assert (found.elements, found.nan + found.positive_inf + found.negative_inf) == (4001, 1)
    assert found.maximum == float(values[values.isfinite()].max())


def test_the_histogram_has_the_shape_of_the_values() -> None:
    """From minimum to maximum, whatever the tensor's size; nothing for constants, and special values are left out."""
    for count in (10, 5_000, 3_000_000):
        values = torch.rand(count)
        values[0] = float("nan")
        histogram = figures(values).histogram
        assert len(histogram) == 24
        assert min(count - 1, 2000) <= sum(histogram) <= 8200
        if count > 10:
            assert max(histogram) < 2 * min(histogram)
    peak = figures(torch.randn(100_000)).histogram
    assert peak.index(max(peak)) in range(8, 16)
    assert figures(torch.ones(50)).histogram == ()
    assert figures(torch.randn(50).to(torch.complex64)).histogram == ()
    assert sum(figures(torch.arange(100)).histogram) == 100
    for low, high in ((-1.7e308, 1.7e308), (0.0, 5e-324), (1.0, 1.0000000000000002), (-3.0, float("inf"))):
        assert sum(figures(torch.tensor([low, high, low, low], dtype=torch.float64)).histogram) in (0, 3, 4)


def test_no_column_is_all_that_the_histogram_sees() -> None:
    """Elements at equal distances could all be of one column."""
    values = torch.randn(4096, 1024)
    values[:, 0] = 100.0
    histogram = figures(values).histogram
    assert histogram[-1] < 0.01 * sum(histogram)
