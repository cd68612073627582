"""Law: the figures of a cast are what torch's own cast does: every pattern of the small types, random ones of the others."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from intact.containers import open_container
from intact.core.dtype import holds_every_value
from intact.survey import cast_loss

_GENERATOR = torch.Generator().manual_seed(7)
_EDGES = [0.0, -0.0, 1e6, 1e-9, 65504, 65519, 65520, 448, 464, 465, 2**-9, 2**-10, 2**-24, 2**-25, 2.87, -2.5, 3.4e38, 1e-45]
_EDGES += [float("inf"), float("-inf"), float("nan"), 16777217.0, 2.0**31, -(2.0**31), 255.0, 256.0, -1.0]
DTYPES = [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64", "int32", "int16", "int8", "uint8",
    "bool", "complex64", "complex128",
]  # fmt: skip


def _sample(name: str) -> torch.Tensor:
    dtype = getattr(torch, name)
    if dtype.itemsize == 2 and dtype.is_floating_point:
        return torch.arange(65536, dtype=torch.int32).to(torch.int16).view(dtype)
    if dtype.itemsize == 1 and dtype.is_floating_point:
        return torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype)
    if dtype.is_complex:
        imaginary = torch.cat([torch.zeros(50), torch.randn(50, generator=_GENERATOR)])
        return torch.complex(torch.randn(100, generator=_GENERATOR), imaginary).to(dtype)
    if dtype == torch.bool:
        return torch.tensor([True, False])
    if dtype.is_floating_point:
        bits = torch.randint(-(2**31), 2**31, (20_000,), generator=_GENERATOR).to(torch.int32).view(torch.float32)
        return torch.cat([bits.to(dtype), torch.randn(500, generator=_GENERATOR).to(dtype), torch.tensor(_EDGES, dtype=dtype)])
    limits = torch.iinfo(dtype)
    spread = torch.randint(limits.min, limits.max, (2_000,), generator=_GENERATOR).to(dtype)
    return torch.cat([spread, torch.tensor([limits.min, limits.max, 0, 1, 5], dtype=dtype)])


def _changed(before: torch.Tensor, after: torch.Tensor) -> tuple[int, int]:
    """How many values are another number afterwards, by Python's own exact comparison; and how many casts C leaves undefined."""
    changed = undefined = 0
    whole = not after.dtype.is_floating_point and not after.dtype.is_complex and after.dtype != torch.bool
    top = float(torch.iinfo(after.dtype).max) if whole else 0.0
    for x, y in zip(before.tolist(), after.tolist(), strict=True):
        real = x.real if isinstance(x, complex) else x
        if whole and isinstance(real, float) and not (abs(real) < top):
            undefined += 1
        elif not (x == y or (x != x and y != y)):
            changed += 1
    return changed, undefined


@pytest.mark.filterwarnings("ignore:Casting complex values to real")
@pytest.mark.parametrize(("found", "expected"), list(itertools.product(DTYPES, DTYPES)))
def test_the_figures_are_those_of_torch(tmp_path: Path, found: str, expected: str) -> None:
    """What is said before a cast must be what the cast then does."""
    values = _sample(found)
    torch.save({"x": values}, tmp_path / "x.pt")
    loss = cast_loss(open_container(tmp_path / "x.pt"), "x", expected)
    assert loss is not None
    changed, undefined = _changed(values, values.to(getattr(torch, expected)))
    assert changed <= loss.changed <= changed + undefined
    parts = (loss.rounded, loss.overflowed, loss.underflowed, loss.truncated, loss.imaginary)
    assert sum(parts) == loss.changed, "every change has one cause"
    if holds_every_value(expected, found):
        assert loss.exact, "the table of dtypes says that nothing can be lost"


def test_the_numbers_of_the_well_known_example(tmp_path: Path) -> None:
    """1e6 becomes infinite in float16, 1e-9 becomes zero, 7e4 becomes infinite, and 0.1 is rounded."""
    torch.save({"w": torch.tensor([[1e6, 1e-9], [7e4, 0.1]])}, tmp_path / "w.pt")
    loss = cast_loss(open_container(tmp_path / "w.pt"), "w", "float16")
    assert loss is not None
    assert (loss.elements, loss.changed, loss.overflowed, loss.underflowed, loss.rounded) == (4, 4, 2, 1, 1)
    assert loss.example is not None
    assert loss.example[0] == (0, 0)


def test_a_view_is_surveyed_as_its_tensor(tmp_path: Path) -> None:
    """Strides and offsets decide which bytes are meant, not the order of the storage."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) + 0.1
    torch.save({"t": base.t()[1:3], "e": base[:1].expand(5, 6)}, tmp_path / "v.pt")
    container = open_container(tmp_path / "v.pt")
    transposed, expanded = cast_loss(container, "t", "int32"), cast_loss(container, "e", "int32")
    assert transposed is not None
    assert expanded is not None
    assert (transposed.elements, transposed.truncated) == (8, 8)
    assert (expanded.elements, expanded.truncated) == (30, 30)
