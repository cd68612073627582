"""Modules that only wrap another one: what is saved of them is how the inner module was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intact.model.making.references import class_name_of

if TYPE_CHECKING:
    import torch

WRAPPERS = {
    "torch.nn.parallel.data_parallel:DataParallel": "module",
    "torch.nn.parallel.distributed:DistributedDataParallel": "module",
    "torch._dynamo.eval_frame:OptimizedModule": "_orig_mod",
}
"""Class of a wrapper, and the name under which it holds the inner module."""

INNER = "module"
"""Name of the argument under which the inner module stands in the record, whatever the wrapper calls it."""


def inner_of(model: torch.nn.Module) -> torch.nn.Module | None:
    """Returns the module that a wrapper wraps; None for every other module."""
    name = WRAPPERS.get(class_name_of(type(model)))
    return model._modules.get(name) if name else None


def wrap(class_name: str, inner: torch.nn.Module) -> torch.nn.Module:
    """Returns the inner module wrapped again.

    Raises:
        ValueError: It needs more than the module, such as a process group.
    """
    import torch

    kind = class_name.partition(":")[2]
    if kind == "DataParallel":
        return torch.nn.DataParallel(inner)
    if kind == "OptimizedModule":
        return torch.compile(inner)  # type: ignore[return-value]  # a module comes back as a module
    raise ValueError("it needs a process group")
