"""Live objects of training: what they are, what stepping changes in them, and the generators of random numbers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import intact
from intact.model.training_state import changing_names, is_training, kind_of, vocabulary_of


class Generators:
    """Somebody's own object for the state of generators."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of torch's."""
        return {"torch": torch.get_rng_state()}


class Warmup:
    """Somebody's own scheduler, made from nothing of torch's."""

    def __init__(self) -> None:
        self.last_epoch, self.warmup_steps, self.seen = 0, 10, 0

    def step(self) -> None:
        """Goes on."""
        self._count()

    def _count(self) -> None:
        self.last_epoch += 1
        self.seen = self.last_epoch

    def state_dict(self) -> dict[str, Any]:
        """Returns all attributes."""
        return dict(self.__dict__)


def test_objects_are_known_by_what_they_can_do() -> None:
    """Libraries wrap torch's classes in their own."""
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    kinds = [
        kind_of(one) for one in (net, optimizer, lr_scheduler.StepLR(optimizer, 1), torch.amp.GradScaler("cpu"), intact.rng())
    ]
    assert kinds == ["module", "optimizer", "scheduler", "scaler", "rng"]
    assert [kind_of(one) for one in (Warmup(), Generators(), 7, "text", net.state_dict())] == [
        "scheduler",
        "rng",
        "value",
        "value",
        "value",
    ]


def test_a_state_dict_is_no_training_state() -> None:
    """Saving a state dict goes on as before."""
    net = nn.Linear(2, 2)
    assert not is_training(net.state_dict())
    assert not is_training({"_extra_state": {"x": torch.ones(1)}})
    assert is_training({"model": net})
    assert is_training({"model": net.state_dict(), "step": 1})


@pytest.mark.parametrize(
    ("make", "changing", "configured"),
    [
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 10), {"last_epoch", "_last_lr"}, {"T_max", "eta_min", "base_lrs"}),
        (
            lambda o: lr_scheduler.ReduceLROnPlateau(o),
            {"best", "num_bad_epochs", "cooldown_counter"},
            {"patience", "factor", "mode"},
        ),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5), {"T_cur", "T_i"}, {"T_0", "T_mult"}),
        (lambda o: lr_scheduler.MultiStepLR(o, [3]), {"last_epoch"}, {"milestones", "gamma"}),
        (lambda o: Warmup(), {"last_epoch", "seen"}, {"warmup_steps"}),
    ],
    ids=["cosine", "plateau", "restarts", "multistep", "own"],
)
def test_what_stepping_changes_is_read_from_the_code(make: Any, changing: set[str], configured: set[str]) -> None:
    """Progress differs in every resumed run; configuration that differs is worth a word."""
    scheduler = make(torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))
    assert changing <= changing_names(scheduler)
    assert not configured & changing_names(scheduler)


def test_the_code_of_an_optimizer_mentions_the_state_that_it_keeps() -> None:
    """It tells Adam's state from Adamax's without taking a step."""
    adam: Any = torch.optim.Adam
    adamax: Any = torch.optim.Adamax
    assert {"exp_avg", "exp_avg_sq"} <= vocabulary_of(adam)
    assert "exp_avg_sq" not in vocabulary_of(adamax)


def draw() -> tuple[float, float, float]:
    """Draws from all three generators."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_all_generators_go_on_from_where_they_were_saved() -> None:
    """One that does not is enough for another run."""
    np.random.normal()  # leaves a second value waiting
    state = intact.rng().state_dict()
    first = draw()
    assert draw() != first
    intact.rng().load_state_dict(state)
    assert draw() == first


@pytest.mark.parametrize("state", [{"python": (3, (1,), None)}, {"numpy": {"algorithm": "?"}}, {"torch": torch.ones(3)}])
def test_what_is_no_state_changes_no_generator(state: dict[str, Any]) -> None:
    """Half of the generators set is a state that no run ever had."""
    before = intact.rng().state_dict()
    expected = draw()
    intact.rng().load_state_dict(before)
    with pytest.raises(intact.IntactError, match="no states of generators"):
        intact.rng().load_state_dict({"python": random.Random(1).getstate(), **state})
    assert draw() == expected
