"""Matrices that a file keeps as [in, out] are told by names and biases, and never matched by shapes that mean another layer."""

from __future__ import annotations

import torch
from torch import nn

import intact
from intact.alignment.orientation import orientation_of
from intact.model.expectation import expect


class Gated(nn.Module):
    """Three matrices of two shapes."""

    def __init__(self, *, bias: bool = False) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(4, 8, bias=bias) for _ in range(2))
        self.down = nn.Linear(8, 4, bias=bias)


class Pair(nn.Module):
    """Two matrices, one the other way round than the other."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 8, bias=bias), nn.Linear(8, 4, bias=bias)


def turned(model: nn.Module, **names: str) -> dict[str, torch.Tensor]:
    """The state dict with matrices the other way round, some modules under other names."""
    state = {key: value.t().contiguous() if value.dim() == 2 else value.clone() for key, value in model.state_dict().items()}
    return {f"{names.get(owner, owner)}.{leaf}": v for (owner, _, leaf), v in ((k.partition("."), v) for k, v in state.items())}


def loaded(model: nn.Module, state: dict[str, torch.Tensor], path: str, wanted: nn.Module) -> bool:
    """Whether the model then holds the wanted values; it stays as it was where the load is refused."""
    torch.save(state, path)
    try:
        intact.load_into(model, path)
    except intact.LoadRefused:
        return False
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in model.state_dict().items())
    return True


def test_a_name_that_agrees_shows_how_the_others_are_kept(tmp_path: object) -> None:
    original = Gated()
    assert loaded(Gated(), turned(original, up="block", down="part"), f"{tmp_path}/m.pth", original)


def test_biases_show_how_matrices_of_other_names_are_kept(tmp_path: object) -> None:
    original = Pair(bias=True)
    state = turned(original, up="first", down="second")
    assert loaded(Pair(bias=True), state, f"{tmp_path}/m.pth", original)


def test_nothing_is_loaded_where_either_way_fits(tmp_path: object) -> None:
    original = Pair(bias=False)
    state = turned(original, up="first", down="second")
    assert not loaded(Pair(bias=False), state, f"{tmp_path}/m.pth", original)
    straight = {f"{name}.weight": getattr(original, old).weight for name, old in (("first", "up"), ("second", "down"))}
    assert not loaded(Pair(bias=False), straight, f"{tmp_path}/n.pth", original)


def test_what_the_model_wants_is_kept_straight() -> None:
    wanted = expect(Gated(bias=True))
    assert orientation_of(wanted, wanted) == "straight"
