"""Two runs side by side: what is rounding, what is a change, and where it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from intact.behaviour import GROWTH, LAST_BITS, OTHER_DEVICE, noise_of, replayed, summary
from intact.core.probe import Trace
from intact.model.replay.probe_trace import traced

X = torch.randn(6, 16, generator=torch.Generator().manual_seed(5))


class Scale(nn.Module):
    """A layer whose code is easily changed."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> Any:
        return x * self.factor


def gone(model: Any) -> None:
    """Takes away a layer that does nothing, and changes one behind it: the first is no change."""
    model[1][2] = nn.Identity()
    model[2][2].factor = 2.0


class Block(nn.Module):
    """A block with code of its own between its layers, before them and after them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.before = self.between = self.after = 1.0

    def forward(self, x: torch.Tensor) -> Any:
        return torch.tanh(self.second(torch.tanh(self.first(x * self.before)) * self.between) * self.after)


def built(depth: int = 3) -> Any:
    """Returns the same model at every call."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Sequential(Block(), nn.LayerNorm(16), Scale()) for _ in range(depth))).eval()


def run(model: nn.Module, x: torch.Tensor = X) -> Trace:
    """Returns what a model does."""
    with torch.no_grad():
        return traced(model, ((x,), {}))


@contextmanager
def double(model: nn.Module) -> Iterator[None]:
    """Computes each linear layer exactly and rounds once: another kernel, as another machine has."""
    handles = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight, bias = module.weight.double(), module.bias.double()

            def exact(module: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor, w=weight, b=bias) -> torch.Tensor:  # type: ignore[no-untyped-def]
                return nn.functional.linear(args[0].double(), w, b).to(output.dtype)

            handles.append(module.register_forward_hook(exact))
    yield
    for handle in handles:
        handle.remove()


def test_the_same_run_is_equal_bit_for_bit() -> None:
    """The usual case says nothing at all."""
    found = replayed(run(built()), run(built()))
    assert (found.status, found.parting, found.first_bits, found.gaps) == ("equal", None, None, ())
    assert summary(found.gaps) == "all outputs are equal, bit for bit"


@pytest.mark.parametrize("depth", [1, 10, 60])
def test_rounding_that_grows_with_depth_is_rounding(depth: int) -> None:
    """No tolerance that is fixed fits a model of two layers and one of two hundred."""
    then, model = run(built(depth)), built(depth)
    with double(model):
        found = replayed(then, run(model))
    assert found.status == "rounding"
    assert found.parting is None
    assert found.first_bits is not None
    assert found.first_bits.path == "0.0.first"
    assert 0 < found.gaps[0].relative < 1e-3


@pytest.mark.parametrize(
    ("change", "path", "before", "after"),
    [
        (lambda m: setattr(m[1][2], "factor", 1.01), "1.2", "", ""),
        (lambda m: setattr(m[1][1], "eps", 1e-2), "1.1", "", ""),
        (lambda m: setattr(m[2][0], "before", 1.1), "2.0", "2.0.first", "1"),
        (lambda m: setattr(m[0][0], "between", 1.1), "0.0", "0.0.second", "0.0.first"),
        (lambda m: setattr(m[0][0], "after", 1.1), "0.0", "", "0.0.second"),
        (gone, "2.2", "", ""),
    ],
)
@pytest.mark.parametrize("rounded", [False, True])
def test_a_change_is_found_at_the_module_whose_code_it_is(
    change: Callable[[nn.Module], object], path: str, before: str, after: str, rounded: bool
) -> None:
    """In a layer, or in the code of a block between its layers; on the same machine, and where all bits differ before it."""
    then, model = run(built()), built()
    change(model)
    if rounded:
        with double(model):
            found = replayed(then, run(model))
    else:
        found = replayed(then, run(model))
    assert found.status == "different"
    assert found.parting is not None
    assert (found.parting.path, found.parting.before, found.parting.after) == (path, before, after)


def test_blocks_in_another_order_part_in_the_code_that_calls_them() -> None:
    """Names, shapes and weights are untouched."""

    class Mixer(nn.Module):
        def __init__(self, order: str) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.order = nn.Linear(16, 16), nn.Linear(16, 16), order

        def forward(self, x: torch.Tensor) -> Any:
            for name in self.order:
                x = torch.tanh(getattr(self, name)(x))
            return x

    found = replayed(run(Mixer("ab")), run(Mixer("ba")))
    assert found.status == "different"
    assert found.parting is not None
    assert (found.parting.path, found.parting.before) == ("", "b")


def test_a_small_change_is_told_from_rounding_where_all_before_it_is_equal() -> None:
    """An epsilon changes a norm by a few millionths; a kernel changes it by less, and in both directions."""
    then, model = run(built()), built()
    model[1][1].eps = 1e-4
    found = replayed(then, run(model))
    assert found.parting is not None
    assert found.parting.path == "1.1"
    assert LAST_BITS["float32"] < found.parting.difference < 1e-3


def test_a_change_that_reaches_no_output_leaves_them_equal() -> None:
    """A head that nobody reads may differ: it is worth a word and no alarm."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.used, self.unused = nn.Linear(16, 2), Scale()

        def forward(self, x: torch.Tensor) -> Any:
            self.unused(x)
            return self.used(x)

    then, model = run(Two()), Two()
    model.unused.factor = 3.0
    found = replayed(then, run(model))
    assert found.status == "equal"
    assert found.parting is not None
    assert found.parting.path == "unused"


def test_what_is_not_a_number_any_more_is_different() -> None:
    """Infinity times zero is no rounding."""
    then, model = run(built()), built()
    model[2][2].factor = math.nan
    found = replayed(then, run(model))
    assert found.status == "different"
    assert "no numbers" in summary(found.gaps)


def test_an_output_that_is_gone_or_has_another_shape_is_different() -> None:
    """A tuple that became a dict has other names."""
    one, other = run(nn.Identity()), run(nn.Flatten(0))
    assert summary(replayed(one, other).gaps) == "of the output, the shape was [6, 16] and is [96]"

    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": x}

    assert "not there any more" in summary(replayed(one, run(Named())).gaps)


def test_the_smallest_tolerance_that_passes_is_the_one_that_torch_accepts() -> None:
    """People put it into their own tests."""

    class Shift(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: torch.Tensor) -> Any:
            return x + self.by * x.sign()

    gap = replayed(run(Shift(0.0)), run(Shift(0.01))).gaps[0]
    assert gap.tolerance is not None
    then, now = X, X + 0.01 * X.sign()
    torch.testing.assert_close(now, then, rtol=gap.tolerance * 1.01, atol=gap.atol)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(now, then, rtol=gap.tolerance * 0.97, atol=gap.atol)


def test_small_outputs_do_not_pass_by_an_absolute_tolerance() -> None:
    """Everything below 1e-5 is equal to everything else by `atol` alone."""
    found = replayed(run(Scale(1e-7)), run(Scale(2e-7)))
    assert found.status == "different"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_each_dtype_has_its_own_last_bits(dtype: torch.dtype) -> None:
    """A thousandth is rounding in half precision, and a change in double."""
    step = 4 * torch.finfo(dtype).eps
    x = torch.linspace(1, 2, 64, dtype=dtype)
    near, far = run(Scale(1 + step / 4), x), run(Scale(1.2), x)
    assert replayed(run(Scale(), x), near).status in ("rounding", "equal")
    assert replayed(run(Scale(), x), far).status == "different"


def test_two_kinds_of_devices_may_be_further_apart() -> None:
    """Convolutions on a GPU have ten bits unless told otherwise; a change is larger than that all the same."""
    then = run(Scale())
    assert replayed(then, run(Scale(1.0005)), slack=OTHER_DEVICE).status == "rounding"
    assert replayed(then, run(Scale(1.0005))).status == "different"
    assert replayed(then, run(Scale(1.01)), slack=OTHER_DEVICE).status == "different"


class Noisy(nn.Module):
    """A model that draws in the middle."""

    def __init__(self, after: float = 1.0, before: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.sample, self.head = Scale(before), nn.Dropout(0.5), Scale(after)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.sample.train()(self.body(x)))


def seeded(model: nn.Module, number: int) -> Trace:
    """Returns a run with a seed."""
    torch.manual_seed(number)
    return run(model)


def test_noise_begins_where_two_runs_part() -> None:
    """The module is named that draws, and not what comes after it."""
    marks, unsteady, noise = noise_of(seeded(Noisy(), 1), seeded(Noisy(), 2))
    assert noise is not None
    assert (noise.path, unsteady) == ("sample", ("",))
    assert noise.difference > 0.1
    assert marks == "2023"
    assert noise_of(seeded(Noisy(), 1), seeded(Noisy(), 1)) == ("", (), None)


@pytest.mark.parametrize(
    ("model", "number", "status", "path"),
    [
        (Noisy(), 1, "equal", None),  # the seed repeats the noise
        (Noisy(), 3, "equal", None),  # another machine draws other numbers: nothing can be said
        (Noisy(after=1.5), 1, "different", "head"),  # the noise is repeated, so what comes after it counts
        (Noisy(before=1.5), 1, "different", "body"),
        (Noisy(before=1.5), 3, "different", "body"),  # what comes before the noise counts in any case
    ],
)
def test_a_change_is_told_from_noise(model: nn.Module, number: int, status: str, path: str | None) -> None:
    """A report must not call an autoencoder that samples a changed model, and a changed one must not hide behind it."""
    then, other = seeded(Noisy(), 1), seeded(Noisy(), 2)
    marks, unsteady, _ = noise_of(then, other)
    found = replayed(then, seeded(model, number), marks, unsteady)
    assert found.status == status
    assert (found.parting.path if found.parting is not None else None) == path


def test_a_model_that_raises_now_and_did_not_is_told() -> None:
    """Its outputs are as different as can be."""
    found = replayed(run(nn.Identity()), run(nn.Linear(3, 3)))
    assert found.status == "raised"
    assert "RuntimeError" in found.raised


def test_no_single_module_may_enlarge_rounding_beyond_its_growth() -> None:
    """The constants belong together: one layer of growth stays far below what counts as a change of an output."""
    assert LAST_BITS["float32"] * GROWTH < 1e-3
