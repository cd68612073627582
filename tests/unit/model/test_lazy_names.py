"""Names that a class registers only when first used, read from its source."""

from __future__ import annotations

from functools import cached_property

import pytest
import torch
from torch import nn

from intact.model.expectation import expect
from intact.model.lazy_names import lazy_names_of


class InForward(nn.Module):
    """Registers a cache when it first runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("eager", torch.zeros(1))
        self._build()

    def _build(self) -> None:
        self.register_buffer("built", torch.zeros(1))
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "cache"):
            self.register_buffer("cache", torch.zeros(x.shape[-1]))
        return x

    def prepare(self) -> None:
        self.register_parameter(name="late", param=nn.Parameter(torch.zeros(1)))
        self.gain = nn.Parameter(torch.ones(1))
        self.typed: nn.Parameter = nn.Parameter(torch.ones(1))


class InProperty(nn.Module):
    """Registers in properties."""

    @property
    def mask(self) -> int:
        self.register_buffer("mask_cache", torch.zeros(1))
        return 1

    @cached_property
    def table(self) -> int:
        self.register_buffer("table_cache", torch.zeros(1))
        return 1


class Derived(InForward):
    """Takes a method away and adds one."""

    def prepare(self) -> None:
        self.other = 3


class Computed(nn.Module):
    """Registers under a name that is not written down."""

    def forward(self, name: str) -> None:
        self.register_buffer(name, torch.zeros(1))
        self.register_buffer(f"{name}_cache", torch.zeros(1))


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (InForward, {"cache", "late", "gain", "typed"}),
        (InProperty, {"mask_cache", "table_cache"}),
        (Derived, {"cache"}),
        (Computed, set()),
        (nn.Linear, set()),
        (nn.LazyBatchNorm2d, set()),
    ],
)
def test_names_registered_outside_of_construction_are_found(cls: type, names: set[str]) -> None:
    """What the constructor registers, by whatever method, a fresh model has."""
    assert lazy_names_of(cls) == names


def test_a_class_without_source_has_none() -> None:
    """Classes typed at a prompt, or made by a library, have no file."""
    space: dict[str, type] = {}
    exec("import torch\nclass Made(torch.nn.Module):\n    def forward(self): self.register_buffer('x', None)", space)
    assert lazy_names_of(space["Made"]) == frozenset()


def test_the_names_stand_in_the_description() -> None:
    """A rule asks there, beside the key that nothing else explains."""
    assert expect(nn.Sequential(InForward())).modules["0"].lazy_names == {"cache", "late", "gain", "typed"}
