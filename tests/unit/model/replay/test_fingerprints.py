"""A fingerprint tells equal bits from close values, and close values from others, by a few dozen bytes."""

from __future__ import annotations

import math

import pytest
import torch

from intact.behaviour import distance
from intact.core.probe import PROJECTIONS
from intact.model.replay.fingerprints import Fingerprints, _sums, fingerprint, text_print


def test_the_same_values_in_another_layout_have_the_same_fingerprint() -> None:
    """Whether a tensor is transposed in memory is not what a model computes."""
    tensor = torch.randn(7, 5, 3)
    other = tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not other.is_contiguous()
    assert fingerprint(tensor) == fingerprint(other)
    assert distance(fingerprint(tensor), fingerprint(other)) == 0.0


@pytest.mark.parametrize("size", [1, 9, 1000, 4096, 4097, 300_000])
@pytest.mark.parametrize("far", [1e-6, 1e-3, 1.0])
def test_the_distance_is_right_within_a_factor_of_three(size: int, far: float) -> None:
    """Eight projections with random signs: more would be larger, fewer would be wrong now and then."""
    generator = torch.Generator().manual_seed(size)
    tensor = torch.randn(size, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, generator=generator, dtype=torch.float64)
    other = tensor + noise * far * tensor.norm() / noise.norm()
    true = float((tensor - other).norm() / max(tensor.norm(), other.norm()))
    assert true / 3 < distance(fingerprint(tensor), fingerprint(other)) < true * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.int64, torch.bool])
def test_one_element_that_changes_is_seen(dtype: torch.dtype) -> None:
    """A mask with one place less is another mask, in every dtype."""
    tensor = torch.ones(40, dtype=dtype)
    other = tensor.clone()
    other[17] = 0
    assert 0.01 < distance(fingerprint(tensor), fingerprint(other)) < 1


def test_a_change_in_a_large_tensor_is_seen_by_bits_at_least() -> None:
    """The sketch looks at a sample; the digest at everything."""
    tensor = torch.randn(100_000)
    other = tensor.clone()
    other[50_001] += 1
    assert fingerprint(tensor).digest != fingerprint(other).digest


def test_elements_that_are_no_numbers_count_and_do_not_spoil_the_rest() -> None:
    """A mask of minus infinity would otherwise be all that a distance sees."""
    tensor = torch.randn(64)
    tensor[:32] = -math.inf
    near, moved, other = tensor.clone(), tensor.clone(), tensor.clone()
    near[40] += 1e-6
    moved[32], moved[31] = -math.inf, 0.5
    other[40] = math.nan
    assert fingerprint(tensor).odd == "0,0,32"
    assert 0 < distance(fingerprint(tensor), fingerprint(near)) < 1e-5
    assert distance(fingerprint(tensor), fingerprint(other)) == math.inf
    assert distance(fingerprint(tensor), fingerprint(moved)) > 1e-3
    lowest = torch.full((4,), torch.finfo(torch.float32).min)
    assert fingerprint(lowest).odd == "0,0,4"


def test_other_shapes_are_infinitely_far_apart_and_other_dtypes_are_not() -> None:
    """A model in half precision computes the same, less exactly."""
    tensor = torch.randn(8, 4)
    assert distance(fingerprint(tensor), fingerprint(tensor.T)) == math.inf
    assert 0 < distance(fingerprint(tensor), fingerprint(tensor.half())) < 1e-3


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0, 4),
        torch.tensor(3.0),
        torch.eye(3).to_sparse(),
        torch.randn(3, 3, dtype=torch.complex64).conj(),
        torch.randn(4).expand(3, 4),
        torch.zeros(3, device="meta"),
        torch.nn.Parameter(torch.ones(2)),
    ],
)
def test_every_tensor_has_one(tensor: torch.Tensor) -> None:
    """Layers are given whatever their authors like."""
    made = fingerprint(tensor)
    assert made.shape == tuple(tensor.shape)
    assert bool(made.digest) != tensor.is_meta


def test_a_fingerprint_is_the_same_on_every_machine() -> None:
    """It is compared with one in a file: another order of signs or places would make every model look changed."""
    made = fingerprint(torch.arange(10_000, dtype=torch.float32) / 100)
    assert made.digest == "Ox6q+7u/W1b6BpO42+X4NA"
    assert made.sketch == "7uVmRXssS0WOIg7EFi4PRM00aEVHQXHECh/aRVJgCUVxFZzF"
    assert len(made.sketch) == (PROJECTIONS + 1) * 4 * 4 / 3


def test_a_tensor_is_looked_at_again_only_when_somebody_wrote_into_it() -> None:
    """What one layer gives the next is given: half of the work is done already."""
    prints = Fingerprints()
    tensor = torch.randn(8)
    first = prints.place_of(tensor)
    assert prints.place_of(tensor) == first
    tensor.relu_()
    assert prints.place_of(tensor) != first
    assert prints.place_of(tensor.clone()) == prints.place_of(tensor)
    assert len(prints.prints) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex128, torch.bool, torch.int64])
def test_sums_over_the_bits_stand_for_a_digest_on_other_devices(dtype: torch.dtype) -> None:
    """Two values that change places have the same sum, and another weighted one."""
    tensor = torch.tensor([1, 0, 3], dtype=dtype)
    assert _sums(tensor) == _sums(tensor.clone())
    assert _sums(tensor) != _sums(tensor.flip(0).roll(1))
    assert _sums(tensor) != _sums(torch.tensor([1, 0, 0], dtype=dtype))
    assert _sums(tensor).startswith("+")


def test_a_plain_value_is_equal_or_not() -> None:
    """An output that is a text has no distance."""
    assert distance(text_print("str", "'a'"), text_print("str", "'a'")) == 0.0
    assert distance(text_print("str", "'a'"), text_print("str", "'b'")) == math.inf
