"""Models that would lose something when saved, and look-alikes that would not, each a class as people write it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


class InLists(nn.Module):
    """Layers in a list and within a mapping, beside activations and other names for registered layers."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = [nn.Conv2d(1, 1, 3) for _ in range(2)]
        self.heads = {"en": nn.Linear(2, 2), "deep": {"er": (nn.Linear(2, 2),)}}
        self.activations = [nn.ReLU()]
        self.body = nn.Linear(2, 2)
        self.order = [self.body]
        self.weights = [self.body.weight]


@dataclass
class Holder:
    """No module."""

    net: nn.Module


class InObjects(nn.Module):
    """Layers in an object, in a set, in a function, and in the class itself."""

    shared = nn.Linear(2, 2)

    def __init__(self) -> None:
        super().__init__()
        hidden = nn.Linear(3, 3)
        self.holder = Holder(nn.Linear(3, 3))
        self.bag = {nn.Linear(2, 2)}
        self.call: Callable[[torch.Tensor], Any] = lambda x: hidden(x)


class LooseParameters(nn.Module):
    """Parameters in a list, and a tensor that requires gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = [nn.Parameter(torch.ones(3))]
        self.shift = torch.zeros(3, requires_grad=True)


def drawn_by_a_helper(size: int) -> torch.Tensor:
    """Returns random numbers, which the class that calls it does not show."""
    return torch.rand(size)


class Random(nn.Module):
    """Everything that the constructor may draw, beside what it computes or draws from a fixed seed."""

    def __init__(self, size: int = 5) -> None:
        super().__init__()
        order = torch.randperm(size)
        self.order = order
        self.inverse = torch.argsort(self.order)
        self.table = np.random.permutation(size)
        self.numbers = random.sample(range(90), size)
        self.helped = drawn_by_a_helper(size)
        self.register_buffer("projection", torch.randn(size, 3), persistent=False)
        self.positions = torch.arange(size)
        self.mask = torch.tril(torch.ones(size, size))
        self.fixed = torch.randn(size, generator=torch.Generator().manual_seed(3))

    def forward(self, x: torch.Tensor) -> Any:
        """Uses all of it."""
        return x[:, self.order, self.inverse, self.table, self.numbers] * self.helped + self.positions + self.mask + self.fixed


class Gathering(nn.Module):
    """Running statistics in an attribute and in a buffer that is not persistent, beside a counter that nobody reads."""

    usage: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usage", torch.zeros(3), persistent=False)
        self.register_buffer("count", torch.zeros(3), persistent=False)
        self.mean = torch.zeros(3)

    def forward(self, x: torch.Tensor) -> Any:
        """Updates them."""
        self.usage.mul_(0.9).add_(x.sum(0), alpha=0.1)
        self.count.add_(x.sum(0))
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return (x - self.mean) / self.usage


class Average:
    """An exponential average of a model's weights, kept by hand."""

    def __init__(self, model: nn.Module, decay: float = 0.9) -> None:
        self.decay = decay
        self.shadow = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def update(self, model: nn.Module) -> None:
        """Follows the model."""
        for name, parameter in model.named_parameters():
            self.shadow[name] = self.decay * self.shadow[name] + (1 - self.decay) * parameter.detach()

    def copy_to(self, model: nn.Module) -> None:
        """Gives the average to a model."""
        for name, parameter in model.named_parameters():
            parameter.data.copy_(self.shadow[name])


class Averaging(nn.Module):
    """Averages its layer in an object that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.average = Average(self.linear)

    def forward(self, x: torch.Tensor) -> Any:
        """Averages after each batch."""
        self.average.update(self.linear)
        return self.linear(x)


class FirstBatch(nn.Module):
    """A mean from the first batch, beside a cache of positions, the last output and a hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.mean: Any = None
        self.cosines: Any = None
        self.hidden: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        """Sets them."""
        if self.mean is None:
            self.mean = x.mean(0)
        if self.cosines is None or self.cosines.size(0) < x.shape[0]:
            self.cosines = torch.arange(x.shape[0]).cos()
        if self.hidden is None:
            self.hidden = x.new_zeros(3)
        self.last = self.linear(x - self.mean).detach()
        self.hidden = torch.tanh(self.hidden + self.last.mean(0))
        return self.last


class ActNorm(nn.Module):
    """Sets its parameters from the first batch, by a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(3))
        self.initialized = False

    def initialize(self, x: torch.Tensor) -> None:
        """Sets them."""
        with torch.no_grad():
            self.loc.copy_(-x.mean(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Uses them."""
        if self.training and not self.initialized:
            self.initialize(x)
            self.initialized = True
        return x + self.loc


class FirstTime(nn.Module):
    """The same with a flag the other way round, and the weights of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.first = nn.Linear(3, 3), True

    def forward(self, x: torch.Tensor) -> Any:
        """Sets the weights once."""
        if self.first:
            self.linear.weight.data.copy_(x.mean())
            self.first = False
        return self.linear(x)


class SavedFlag(nn.Module):
    """The same with a flag that is saved."""

    initialized: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(3))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sets and uses it."""
        if not self.initialized:
            self.loc.data.copy_(x.mean(0))
            self.initialized.fill_(True)
        return x + self.loc


class Late(nn.Module):
    """A buffer, a Parameter and a layer that come with the first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.projection: Any = None
        self.weight: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        """Makes them."""
        if not hasattr(self, "base"):
            self.register_buffer("base", x.mean(0))
        if self.projection is None:
            self.projection = nn.Linear(x.shape[1], 2)
        if self.weight is None:
            self.weight = nn.Parameter(x.new_ones(2))
        return self.projection(x) * self.weight


class Fitted(nn.Module):
    """Statistics that a method sets."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.mean = nn.Linear(3, 3), torch.zeros(3)

    def fit(self, x: torch.Tensor) -> Fitted:
        """Sets them."""
        self.mean = x.mean(0)
        return self

    def forward(self, x: torch.Tensor) -> Any:
        """Uses them."""
        return self.linear(x - self.mean)


class Pair(nn.Module):
    """Two layers, as the base of classes that save and load by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.kept, self.left = nn.Linear(3, 3), nn.Linear(3, 3)


class LeavesOut(Pair):
    """Its state dict has one of the two."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Without `left`."""
        given = super().state_dict(*args, **kwargs)
        return type(given)((key, value) for key, value in given.items() if not key.startswith("left."))


class RenamesItsKeys(Pair):
    """Its state dict has both, as copies under other keys, and it loads them."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Under a prefix."""
        return {f"net.{key}": value.clone() for key, value in super().state_dict(*args, **kwargs).items()}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Without it."""
        return super().load_state_dict({key[4:]: value for key, value in state_dict.items()}, strict, assign)


class TakesHalf(Pair):
    """It loads one of the two and is content."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Only `kept`."""
        return super().load_state_dict({k: v for k, v in state_dict.items() if k.startswith("kept.")}, strict=False)


class GivesExtra(Pair):
    """It gives extra state and cannot take it."""

    def get_extra_state(self) -> Any:
        """A number."""
        return {"number": 1}


class Tied(nn.Module):
    """Head and embedding are one, where it is asked for."""

    def __init__(self, tie: bool = True) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.tie = tie
        if tie:
            self.head.weight = self.embed.weight


class Side(nn.Module):
    """Holds what it is given."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed


class TwoSides(nn.Module):
    """Two layers that share a third one, which no assignment between attributes shows."""

    def __init__(self, words: int = 4) -> None:
        super().__init__()
        shared = nn.Embedding(words, 3)
        self.words, self.encoder, self.decoder = words, Side(shared), Side(shared)


class Metric(nn.Module):
    """What is counted from one `reset` to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.correct, self.total = torch.zeros(3), torch.zeros(3)

    def update(self, found: torch.Tensor, wanted: torch.Tensor) -> None:
        """Counts."""
        self.correct += (found == wanted).sum(0)
        self.total += wanted.sum(0)

    def compute(self) -> torch.Tensor:
        """The share."""
        return self.correct / self.total

    def reset(self) -> None:
        """From the start."""
        for name in ("correct", "total"):
            setattr(self, name, torch.zeros(3))


class Caching(nn.Module):
    """Keys of attention, noise, and what is drawn anew for each batch."""

    values: torch.Tensor
    noise: torch.Tensor

    def __init__(self, length: int = 4) -> None:
        super().__init__()
        self.linear, self.keys, self.mask = nn.Linear(3, 3), torch.zeros(length, 3), torch.zeros(3)
        self.register_buffer("values", torch.zeros(length, 3), persistent=False)
        self.register_buffer("noise", torch.zeros(3), persistent=False)
        self.reset_noise()

    def reset_noise(self) -> None:
        """Draws it."""
        self.noise.normal_()

    def forward(self, x: torch.Tensor, start: int = 0) -> Any:
        """Fills it."""
        new = self.linear(x + self.noise)
        self.keys[start : start + x.shape[0]] = new.detach()
        self.values[start : start + x.shape[0]].copy_(new.detach())
        self.mask = torch.bernoulli(torch.full((3,), 0.5))
        return self.keys @ self.values.T


class Plain(nn.Module):
    """One layer, and a distribution and a loss with constants."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.prior = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
        self.loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
        self.optimizer = torch.optim.Adam(self.linear.parameters())


def used(model: nn.Module) -> nn.Module:
    """Returns a model after one batch of three columns."""
    model(torch.randn(4, 3))
    return model
