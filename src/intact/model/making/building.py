"""A model built a second time without anybody noticing: nothing printed, no random numbers used, no mode of torch left changed.

There are three places to build on: the meta device, which costs no memory; small tensors real and large ones on meta, for
constructors that look at values such as a drop-path schedule; and the CPU, for what is small enough.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from intact.model.state import random_state_kept

if TYPE_CHECKING:
    import torch

Place = Literal["meta", "small", "cpu"]

SMALL_BYTES = 64 << 10
"""Tensors up to this size are made for real at the place "small"; schedules and tables have a few hundred values."""

LARGEST_REAL_BYTES = 256 << 20
"""A model up to this size may be built on the CPU."""

_FILLS = frozenset(
    {
        *("normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_"),
        *("exponential_", "bernoulli_", "random_", "log_normal_", "cauchy_"),
    }
)
"""Methods that fill a tensor in place and say nothing of its form."""


def build(make: Callable[[], torch.nn.Module], place: Place, small_bytes: int = SMALL_BYTES) -> torch.nn.Module:
    """Returns what a function builds, with its tensors at a place.

    Args:
        make: Calls the constructors.
        place: Where factories put their tensors when no device is said.
        small_bytes: Up to which size tensors are real at the place "small".

    Raises:
        Exception: Whatever the constructors raise.
    """
    with unnoticed(), _at(place, small_bytes):
        return make()


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """Hides output, warnings and log lines, and puts random state, grad mode and default dtype back afterwards."""
    import torch

    dtype, disabled, state, numpy = torch.get_default_dtype(), logging.root.manager.disable, random.getstate(), _numpy_state()
    with contextlib.ExitStack() as stack:
        stack.enter_context(random_state_kept())
        stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
            torch.set_default_dtype(dtype)
            random.setstate(state)
            if numpy is not None:
                sys.modules["numpy"].random.set_state(numpy)


def _numpy_state() -> Any:
    """The state of numpy's global generator, where numpy is loaded."""
    numpy: Any = sys.modules.get("numpy")
    return numpy.random.get_state() if numpy is not None and "numpy.random" in sys.modules else None


@contextlib.contextmanager
def _at(place: Place, small_bytes: int) -> Iterator[None]:
    import torch

    with contextlib.ExitStack() as stack:
        if place != "small":
            stack.enter_context(torch.device(place))
        if place != "cpu":
            stack.enter_context(_placing(small_bytes if place == "small" else None))
        yield


def _placing(small_bytes: int | None) -> AbstractContextManager[Any]:
    """A context in which factories make small tensors on the CPU and large ones on meta, and nothing on meta is filled.

    Filling what has no memory changes nothing, and the first random filling of a meta tensor makes torch import half of its
    compiler, which takes as much as half a second.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._device import _device_constructors

    from_data = {torch.tensor, torch.as_tensor, torch.asarray, torch.from_file}
    factories = _device_constructors() - from_data if small_bytes is not None else set()

    class Placing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in factories and kwargs.get("device") is None:
                plain = {name: value for name, value in kwargs.items() if name != "generator"}
                found = func(*args, **{**plain, "device": "meta"})
                large = small_bytes is not None and found.numel() * found.element_size() > small_bytes
                return found if large else func(*args, **{**kwargs, "device": "cpu"})
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, torch.Tensor) and target.is_meta and _fills(func):
                return target
            return func(*args, **kwargs)

    return Placing()


def _fills(function: Any) -> bool:
    name = getattr(function, "__name__", "")
    return name in _FILLS or (getattr(function, "__module__", "") == "torch.nn.init" and name.endswith("_"))
