"""What one pass over the values of a tensor says beside their counts: a digest, and a narrower dtype that would hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from xxhash import xxh3_128

import intact
from intact.core.statistics import Statistics
from intact.statistics_survey import BLOCK_ELEMENTS, FIRST_ELEMENTS, statistics_of

NAMES = "float64 float32 float16 bfloat16 float8_e4m3fn int64 int8 uint8 bool complex64"
DTYPES = [getattr(torch, name) for name in NAMES.split()]


def figures(tensor: torch.Tensor) -> Statistics:
    """Returns the figures of a tensor."""
    return statistics_of(memoryview(tensor.view(torch.uint8).numpy().tobytes()), str(tensor.dtype)[6:])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [1, 100, BLOCK_ELEMENTS + 3])
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


@pytest.mark.parametrize(
    "place", [0, FIRST_ELEMENTS - 1, FIRST_ELEMENTS, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS + 6]
)
def test_one_value_that_does_not_fit_is_enough(place: int) -> None:
    """In the first few, in the rest of a block, in a later block."""
    values = torch.rand(2 * BLOCK_ELEMENTS + 7).bfloat16().float()
    assert figures(values).fits == "bfloat16"
    values[place] = 1 / 3
    assert figures(values).fits == ""


def test_the_command_says_so(tmp_path: Path) -> None:
    """In the table and in the JSON."""
    torch.save({"w": torch.rand(50).bfloat16().float(), "v": torch.rand(50)}, tmp_path / "w.pth")
    values = intact.check(tmp_path / "w.pth").values
    assert {key: row.fits for key, row in values.items()} == {"w": "bfloat16", "v": ""}
