"""Plain attributes of modules, bounded."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
import torch
from torch import nn

from intact.model.hyperparameters import MOST_ENTRIES, hyperparameters_of


class Mode(Enum):
    """How something is done."""

    FAST = 1


@dataclass
class Config:
    """Arguments as people keep them."""

    width: int = 8
    act: str = "gelu"
    inner: object = None


class WithToDict:
    """A configuration as transformers has it."""

    def to_dict(self) -> dict[str, Any]:
        return {"hidden_size": 8, "_private": 1, "nested": {"a": 1}}


class Raising:
    """A configuration that cannot be read."""

    def to_dict(self) -> dict[str, Any]:
        raise RuntimeError("not now")


def with_attributes(**attributes: object) -> nn.Module:
    """Returns a module with these attributes."""
    module = nn.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(3, 4), {"in_features": 3, "out_features": 4}),
        (nn.LayerNorm(4, eps=1e-6), {"normalized_shape": (4,), "eps": 1e-6, "elementwise_affine": True}),
        (nn.Dropout(0.1), {"p": 0.1, "inplace": False}),
    ],
)
def test_built_in_modules_tell_their_constructor(module: nn.Module, expected: dict[str, object]) -> None:
    """These are the numbers a diagnosis compares; `training` is no hyperparameter."""
    assert hyperparameters_of(module, {}) == expected


def test_instance_norm_tells_whether_it_tracks_statistics() -> None:
    """Files from before 0.4 hold statistics that such a layer never used."""
    assert hyperparameters_of(nn.InstanceNorm1d(3), {})["track_running_stats"] is False


def test_plain_values_are_taken_and_others_left_out() -> None:
    """A report prints what is here as it is."""
    module = with_attributes(
        dtype=torch.float16, mode=Mode.FAST, size=torch.Size([2, 3]), widths=[1, 2], nothing=None, table=object(), act=nn.ReLU()
    )
    assert hyperparameters_of(module, {}) == {
        "dtype": "float16",
        "mode": "FAST",
        "size": (2, 3),
        "widths": (1, 2),
        "nothing": None,
    }


def test_long_things_are_left_out() -> None:
    """A vocabulary is no hyperparameter."""
    assert hyperparameters_of(with_attributes(text="x" * 10_000, numbers=list(range(10_000)), deep=((((1,),),),)), {}) == {}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), {"config.width": 8, "config.act": "gelu", "config.inner": None}),
        (WithToDict(), {"config.hidden_size": 8}),
        ({"a": 1, 2: 3}, {"config.a": 1}),
        (argparse.Namespace(lr=0.1), {"config.lr": 0.1}),
        (Raising(), {}),
    ],
)
def test_one_level_of_a_configuration_is_taken(config: object, expected: dict[str, object]) -> None:
    """Evidence only: what raises is not known."""
    assert hyperparameters_of(with_attributes(config=config), {}) == expected


def test_a_configuration_is_bounded() -> None:
    """One with a million entries is a table under a wrong name."""
    found = hyperparameters_of(with_attributes(config={f"k{n}": n for n in range(10 * MOST_ENTRIES)}), {})
    assert len(found) == MOST_ENTRIES


def test_a_configuration_that_many_modules_share_is_read_once() -> None:
    """Every module of a transformer holds the same one."""

    class Counting(WithToDict):
        calls = 0

        def to_dict(self) -> dict[str, Any]:
            Counting.calls += 1
            return super().to_dict()

    config, cache = Counting(), dict[int, Any]()
    for _ in range(3):
        assert hyperparameters_of(with_attributes(config=config), cache) == {"config.hidden_size": 8}
    assert Counting.calls == 1
