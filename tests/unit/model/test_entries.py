"""Entries of a state dict that are no tensors, named as files name what is in them."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

import intact
from intact.model.entries import DEEPEST, is_extra_state, rebuilt, tensors_in

Pair = namedtuple("Pair", ["first", "second"])

NESTED: dict[str, Any] = {
    "weight": torch.zeros(1),
    "a.packed": (torch.ones(1), None, [torch.full((2,), 2.0)]),
    "_extra_state": {"step": 3, "history": {"loss": torch.full((3,), 3.0), 5: torch.full((4,), 4.0)}},
    "count": 7,
}


def test_tensors_within_entries_have_the_paths_that_files_give_them(tmp_path: Path) -> None:
    """A model and its own file must agree on every name."""
    torch.save(NESTED, tmp_path / "x.pt")
    assert list(tensors_in(NESTED)) == list(intact.inspect(tmp_path / "x.pt").found.tensors)


@pytest.mark.parametrize("key", ["_extra_state", "a.b._extra_state", "a._extra_state.step", "_extra_state[0].x"])
def test_extra_state_is_told_by_its_name(key: str) -> None:
    """And whatever stands within it."""
    assert is_extra_state(key)


@pytest.mark.parametrize("key", ["extra_state", "a._extra_states", "my_extra_state", "_extra_state_2.weight", ""])
def test_a_name_like_it_is_no_extra_state(key: str) -> None:
    """Its tensors are loaded like any other, with shapes that must fit."""
    assert not is_extra_state(key)


def test_an_entry_is_rebuilt_around_other_tensors() -> None:
    """Types and everything that is not replaced stay."""
    new = torch.ones(9)
    first, second = rebuilt(
        "p", (Pair(torch.zeros(1), 2), OrderedDict(x=[1, torch.zeros(1)])), {"p[0][0]": new, "p[1].x[1]": new}
    )
    assert isinstance(first, Pair)
    assert isinstance(second, OrderedDict)
    assert first.first is new
    assert first.second == second["x"][0] + 1 == 2
    assert second["x"][1] is new


def test_an_entry_that_nothing_is_replaced_in_is_the_same_object() -> None:
    """So that a module is not given its own extra state anew."""
    assert rebuilt("e", NESTED["_extra_state"], {"other": torch.zeros(1)}) is NESTED["_extra_state"]


def test_an_entry_that_contains_itself_is_followed_for_a_while() -> None:
    """Extra state may be anything."""
    entry: dict[str, Any] = {"x": torch.zeros(1)}
    entry["self"] = entry
    assert len(tensors_in({"e": entry})) == DEEPEST
