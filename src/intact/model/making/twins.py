"""A rebuilt model without memory of its own: every tensor of it on the meta device, ties kept."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from intact.model.making.argument_values import cast_floating

if TYPE_CHECKING:
    import torch


def on_meta(twin: torch.nn.Module | None, dtype: str) -> torch.nn.Module | None:
    """Returns the model on meta, floating-point state cast to a dtype; None where there is none or it cannot be copied."""
    if twin is None:
        return None
    memo: dict[int, Any] = {}
    for module in twin.modules():
        for held in (module._parameters, module._buffers, vars(module)):
            for tensor in held.values():
                _note(tensor, memo)
    try:
        return cast_floating(copy.deepcopy(twin, memo) if memo else twin, dtype)
    except Exception:  # noqa: BLE001 - the user's classes may forbid copying
        return None


def _note(tensor: Any, memo: dict[int, Any]) -> None:
    """Says to the copy what stands in the place of a tensor: the same one wherever it occurs."""
    import torch

    if (
        isinstance(tensor, torch.Tensor)
        and not tensor.is_meta
        and not torch.nn.parameter.is_lazy(tensor)
        and id(tensor) not in memo
    ):
        moved = tensor.detach().to("meta")
        parameter = isinstance(tensor, torch.nn.Parameter)
        memo[id(tensor)] = torch.nn.Parameter(moved, requires_grad=tensor.requires_grad) if parameter else moved
