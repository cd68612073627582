"""Example inputs as positional and keyword arguments, as plain data in a file, and back.

What has no form in a file is refused by name, never turned into something like it: an input that comes back otherwise would make
every model look changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intact.core.entries import NoForm, decode, encode
from intact.model.contents import bytes_of
from intact.model.making.argument_values import torch_constant

if TYPE_CHECKING:
    import torch

MOST_BYTES = 620_000
"""Bytes of tensors among the inputs, a third more as text: one float32 image of 224 x 224 fits, and leaves room for the run."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def arguments_of(example_inputs: Any) -> Arguments:
    """Returns positional and keyword arguments.

    Args:
        example_inputs: A tuple of arguments, a mapping of keyword arguments, a pair of both, or a single argument.
    """
    if isinstance(example_inputs, Mapping) and all(isinstance(name, str) for name in example_inputs):
        return (), dict(example_inputs.items())
    if not isinstance(example_inputs, tuple) or hasattr(example_inputs, "_fields"):
        return (example_inputs,), {}
    if len(example_inputs) == 2 and isinstance(example_inputs[0], tuple) and _is_keywords(example_inputs[1]):
        return example_inputs[0], dict(example_inputs[1].items())
    return example_inputs, {}


def _is_keywords(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) and name.isidentifier() for name in value)


def encoded(arguments: Arguments) -> Any:
    """Returns arguments as plain data.

    Raises:
        NoForm: One of them has no form in a file, or they are too large.
    """
    held = 0

    def plain(value: Any) -> tuple[str, tuple[int, ...], bytes] | None:
        nonlocal held
        made = _plain(value)
        held += len(made[2]) if made else 0
        if held > MOST_BYTES:
            raise NoForm(f"its tensors have {held:,} bytes or more, and {MOST_BYTES:,} are kept")
        return made

    args, keywords = arguments
    return [
        [encode(value, plain, f"argument {number}") for number, value in enumerate(args)],
        [[name, encode(value, plain, name)] for name, value in keywords.items()],
    ]


def _plain(value: Any) -> tuple[str, tuple[int, ...], bytes] | None:
    import torch

    if not isinstance(value, torch.Tensor) or value.is_nested or value.is_meta or value.is_quantized:
        return None
    if value.layout != torch.strided or type(value) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return None
    if value.numel() * value.element_size() > MOST_BYTES:
        raise NoForm(f"a tensor of {value.numel() * value.element_size():,} bytes is among them, and {MOST_BYTES:,} are kept")
    return str(value.dtype).removeprefix("torch."), tuple(value.shape), bytes(bytes_of(value))


def decoded(data: Any, device: torch.device, cast: tuple[str, str] = ("", "")) -> Arguments:
    """Returns the arguments that plain data stand for, their tensors on a device.

    Args:
        data: From a file.
        device: Where the model is.
        cast: The dtype that the model had, and the one that it has now: inputs of the first are given in the second.

    Raises:
        ValueError: The data are malformed.
    """
    held = 0

    def tensor(dtype: str, shape: tuple[int, ...], content: bytes) -> torch.Tensor:
        import torch

        nonlocal held
        held += len(content)
        if held > MOST_BYTES:
            raise ValueError(f"the inputs have {held:,} bytes or more, and {MOST_BYTES:,} are the limit")
        kind, wanted = (torch_constant(name, "dtype") for name in (dtype, cast[1] if dtype == cast[0] else dtype))
        if math.prod(shape) * kind.itemsize != len(content):
            raise ValueError(f"a tensor has {len(content)} bytes for shape {list(shape)} of {dtype}")
        with torch.device("cpu"):
            flat = torch.frombuffer(bytearray(content), dtype=kind) if content else torch.empty(0, dtype=kind)
        try:
            return flat.reshape(shape).to(device, wanted)
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    try:
        positional, keywords = data
        pairs = [(name, decode(value, tensor)) for name, value in keywords]
        if not all(isinstance(name, str) for name, _ in pairs):
            raise ValueError("a keyword is no text")
        return tuple(decode(value, tensor) for value in positional), dict(pairs)
    except TypeError as error:
        raise ValueError(f"the inputs are malformed: {error}") from None
