"""Training runs that are saved after every step, so that a test can stop one at any moment and see it resumed.

Each set-up builds its objects anew and takes one step at a time. All data come from the global generators: a run continues bit
for bit only where they were restored too.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import intact

STEPS = 12

Arrange = Callable[[list[tuple[str, nn.Parameter]]], list[dict[str, Any]]]
"""Named parameters to groups of an optimizer."""


class Net(nn.Module):
    """A small network with dropout and a normalisation that counts batches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Linear(12, 12)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the head's values."""
        return self.head(self.drop(torch.relu(self.second(torch.relu(self.norm(self.first(x)))))))  # type: ignore[no-any-return]


@dataclass
class Run:
    """One run.

    Attributes:
        objects: What is saved.
        advance: Takes one step and returns the loss.
    """

    objects: dict[str, Any]
    advance: Callable[[], float]


def one_group(named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Returns all parameters in the order of the model."""
    return [{"params": [parameter for _, parameter in named]}]


def reversed_group(named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Returns all parameters in the opposite order."""
    return [{"params": [parameter for _, parameter in named[::-1]]}]


def each_alone(named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Returns a group for each parameter, the last first."""
    return [{"params": [parameter]} for _, parameter in named[::-1]]


def by_decay(named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Returns weights with decay, biases without."""
    return [
        {"params": [p for name, p in named if name.endswith("bias") is bias], "weight_decay": 0.0 if bias else 0.1}
        for bias in (False, True)
    ]


def by_decay_alone(named: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Returns the same decay with a group for each parameter."""
    return [{"params": [p], "weight_decay": 0.0 if name.endswith("bias") else 0.1} for name, p in named]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns data that all three generators had a part in."""
    x = torch.randn(16, 6) * (1 + random.random()) + float(np.random.default_rng(np.random.randint(1 << 30)).normal())
    return x, x[:, :3].flip(1)


def made(
    optimizer: Callable[[Any], torch.optim.Optimizer],
    scheduler: Callable[[torch.optim.Optimizer], Any],
    arrange: Arrange,
    *,
    plateau: bool = False,
    average: bool = False,
    scaled: bool = False,
) -> Run:
    """Returns a run of one model, one optimizer and one scheduler, with what else is asked for."""
    net = Net()
    opt = optimizer(arrange(list(net.named_parameters())))
    objects: dict[str, Any] = {"model": net, "optimizer": opt, "scheduler": scheduler(opt), "rng": intact.rng(), "step": 0}
    if average:
        average_of = get_ema_multi_avg_fn(0.9)  # type: ignore[no-untyped-call]
        objects["ema"] = AveragedModel(net, multi_avg_fn=average_of, use_buffers=True)
    if scaled:
        objects["scaler"] = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=3)

    def advance() -> float:
        x, y = batch()

        def closure() -> torch.Tensor:
            opt.zero_grad()
            found = (net(x) - y).square().mean()
            (objects["scaler"].scale(found) if scaled else found).backward()
            total: torch.Tensor = found
            return total

        if scaled:
            loss = closure()
            objects["scaler"].step(opt)
            objects["scaler"].update()
        else:
            loss = opt.step(closure)  # type: ignore[arg-type, assignment]
        if average:
            objects["ema"].update_parameters(net)
        objects["scheduler"].step(*([loss.item()] if plateau else []))
        objects["step"] += 1
        return loss.item()

    return Run(objects, advance)


def warm_cosine(opt: torch.optim.Optimizer) -> Any:
    """Returns a warm-up and then a cosine."""
    return schedules.SequentialLR(opt, [schedules.LinearLR(opt, 0.1, total_iters=4), schedules.CosineAnnealingLR(opt, 10)], [4])


SETUPS: dict[str, Callable[[Arrange | None], Run]] = {
    "sgd-step": lambda arrange: made(
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
        lambda o: schedules.StepLR(o, 3, 0.5),
        arrange or one_group,
    ),
    "adam-onecycle": lambda arrange: made(
        lambda p: torch.optim.Adam(p, 1e-2), lambda o: schedules.OneCycleLR(o, 2e-2, total_steps=40), arrange or one_group
    ),
    "adamw-warm-cosine": lambda arrange: made(lambda p: torch.optim.AdamW(p, 1e-2), warm_cosine, arrange or by_decay),
    "adamw-lambda": lambda arrange: made(
        lambda p: torch.optim.AdamW(p, 1e-2, amsgrad=True),
        lambda o: schedules.LambdaLR(o, lambda step: min(1.0, (step + 1) / 6)),
        arrange or one_group,
    ),
    "lbfgs": lambda arrange: made(
        lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3, history_size=4),
        lambda o: schedules.MultiStepLR(o, [3, 6], 0.5),
        arrange or one_group,
    ),
    "adam-scaler": lambda arrange: made(
        lambda p: torch.optim.Adam(p, 1e-2), lambda o: schedules.ExponentialLR(o, 0.9), arrange or one_group, scaled=True
    ),
    "sgd-ema-plateau": lambda arrange: made(
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        lambda o: schedules.ReduceLROnPlateau(o, patience=1),
        arrange or one_group,
        plateau=True,
        average=True,
    ),
    "rmsprop-restarts": lambda arrange: made(
        lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 5),
        arrange or one_group,
    ),
}


def seeded(seed: int) -> None:
    """Sets all generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def quiet(name: str, arrange: Arrange | None = None) -> Run:
    """Returns a set-up; what torch says of its own schedulers is none of ours."""
    warnings.simplefilter("ignore")
    return SETUPS[name](arrange)


def trained(run: Run, steps: int, after: Callable[[int], None] = lambda _: None) -> list[float]:
    """Returns the losses of the steps up to a number, and calls `after` with the number of each."""
    losses = []
    while run.objects["step"] < steps:
        losses.append(run.advance())
        after(run.objects["step"])
    return losses


def bits_of(run: Run) -> str:
    """Returns a digest of the weights, the averages and the learning rates; the order of parameters has no part in it."""
    own = hashlib.sha256()
    for name in ("model", "ema"):
        for key, tensor in run.objects[name].state_dict().items() if name in run.objects else ():
            own.update(key.encode() + tensor.detach().numpy().tobytes())
    own.update(repr(sorted({group["lr"] for group in run.objects["optimizer"].param_groups})).encode())
    return own.hexdigest()


def saving(run: Run, folder: Path, tell: Callable[[int], None]) -> Callable[[int], None]:
    """Returns what saves a run after a step and tells the number."""

    def after(step: int) -> None:
        intact.save(run.objects, folder, durable=False)
        tell(step)

    return after


def arrangement(name: str) -> Arrange | None:
    """Returns a way to group parameters by its name, None for that of the set-up."""
    known: Iterable[Arrange] = (reversed_group, each_alone, by_decay_alone)
    return next((arrange for arrange in known if getattr(arrange, "__name__", "") == name), None)
