"""A model's computation as a `torch.export` program: it runs without the model's class, on inputs like those of its making."""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING, Any

from intact.errors import IntactError, LoadRefused
from intact.model.state import random_state_kept, short

if TYPE_CHECKING:
    import torch


def exported(model: torch.nn.Module, example_inputs: Any) -> bytes:
    """Returns the bytes of a `.pt2` file with the model's program, in eval mode; the model is as before.

    Args:
        model: It is traced, and so run, on the inputs.
        example_inputs: A tuple of arguments, a dict of keyword arguments, or a pair of both.

    Raises:
        IntactError: It cannot be exported.
    """
    import torch

    args, kwargs = _called_with(example_inputs)
    modes = [(module, module.training) for module in model.modules()]
    stream = io.BytesIO()
    try:
        with warnings.catch_warnings(), random_state_kept(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(model.eval(), args, kwargs), stream)
    except Exception as error:
        raise IntactError(
            f"the model cannot be exported as a program: {type(error).__name__}: {short(str(error), 200)}",
            help="save without program=True; torch.export says what in the model it cannot follow",
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    return stream.getvalue()


def _called_with(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, dict):
        return (), dict(example_inputs)
    if not isinstance(example_inputs, tuple):
        raise IntactError("a program needs example inputs", help="example_inputs=(x,), or a dict of keyword arguments")
    pair = len(example_inputs) == 2 and isinstance(example_inputs[0], tuple) and isinstance(example_inputs[1], dict)
    return (example_inputs[0], dict(example_inputs[1])) if pair else (example_inputs, {})


def loaded(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """Returns the program of a `.pt2` file whose bytes were verified.

    Raises:
        LoadRefused: This torch cannot load it.
    """
    import torch

    try:
        return torch.export.load(path)
    except Exception as error:
        raise LoadRefused(
            f"this torch ({torch.__version__}) cannot load the program: {type(error).__name__}: {short(str(error), 200)}",
            path=os.fspath(path),
            help="load the model itself: intact.load(path, Class)",
        ) from error
