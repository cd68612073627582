"""Whether a run of a model drew anything at random, told without running it again.

Generators that everybody shares, and those that modules hold, are looked at before and after. What takes fresh entropy or the
time leaves no such trace; it is known by name in the code of the model's own classes. Whatever escapes all that shows in a
replay: two runs of one model that do not agree are no change.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from intact.model.state import modules_of, random_state_kept
from intact.model.survival.methods import is_of_library, methods_of, names_in, per_class, reached_from

if TYPE_CHECKING:
    import torch

FRESH = frozenset(
    {
        "SystemRandom",
        "default_rng",
        "urandom",
        "getrandbits",
        "token_bytes",
        "token_hex",
        "uuid1",
        "uuid4",
        "time",
        "time_ns",
        "perf_counter",
        "perf_counter_ns",
        "monotonic",
        "monotonic_ns",
        "seed",
        "initial_seed",
        "Generator",
        "RandomState",
        "entropy",
    }
)
"""Names of functions that give something else at every call, or begin a generator anew."""

MOST_HELD = 64
"""Generators that are looked at on one model."""


def marks(model: torch.nn.Module) -> tuple[object, ...]:
    """Returns what is equal before and after a run in which nothing was drawn from a generator that is known."""
    import torch

    numpy: Any = sys.modules.get("numpy")
    shared: list[object] = [torch.get_rng_state().numpy().tobytes(), random.getstate()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        shared += [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        shared += [kind, keys.tobytes(), *rest]
    return (*shared, *map(_state, _held(model)))


def may_differ(model: torch.nn.Module, device: torch.device) -> bool:
    """Tells whether two runs may differ although nothing was drawn: off the CPU sums are taken in any order."""
    classes = {type(module) for _, module in modules_of(model)}
    return device.type != "cpu" or any(map(_draws_afresh, classes))


@per_class
def _draws_afresh(cls: type) -> bool:
    if is_of_library(cls):
        return False
    methods = methods_of(cls)
    return any(names_in(method.function) & FRESH for name in reached_from("forward", methods) for method in methods[name])


def _held(model: torch.nn.Module) -> Iterator[Any]:
    """Generators that modules hold as attributes."""
    import torch

    kinds: tuple[type, ...] = (torch.Generator, random.Random)
    if (numpy := sys.modules.get("numpy")) is not None:
        kinds += (numpy.random.Generator, numpy.random.RandomState)
    held = (value for _, module in modules_of(model) for value in vars(module).values() if isinstance(value, kinds))
    return islice(held, MOST_HELD)


def _state(generator: Any) -> Any:
    """The state of a generator, as something that is equal for equal states."""
    import torch

    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    return generator.getstate() if isinstance(generator, random.Random) else repr(_numpy_state(generator))


def _numpy_state(generator: Any) -> Any:
    return generator.bit_generator.state if hasattr(generator, "bit_generator") else generator.get_state(legacy=False)


@contextmanager
def generators_kept(model: torch.nn.Module) -> Iterator[list[tuple[Any, Any]]]:
    """Puts every generator back at the end: those that everybody shares, and those that modules hold, which are given."""
    numpy: Any = sys.modules.get("numpy")
    held = [(generator, _saved(generator)) for generator in _held(model)]
    plain, legacy = random.getstate(), numpy.random.get_state() if numpy is not None else None
    with random_state_kept():
        try:
            yield held
        finally:
            random.setstate(plain)
            if legacy is not None:
                numpy.random.set_state(legacy)
            put_back(held)


def put_back(held: list[tuple[Any, Any]]) -> None:
    """Puts generators back into states that they had."""
    import torch

    for generator, state in held:
        if isinstance(generator, torch.Generator):
            generator.set_state(state)
        elif isinstance(generator, random.Random):
            generator.setstate(state)
        elif hasattr(generator, "bit_generator"):
            generator.bit_generator.state = state
        else:
            generator.set_state(state)


def _saved(generator: Any) -> Any:
    import torch

    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return generator.getstate() if isinstance(generator, random.Random) else _numpy_state(generator)


def seed(number: int) -> None:
    """Seeds every random number generator that everybody shares."""
    import torch

    torch.manual_seed(number)
    random.seed(number)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(number)
