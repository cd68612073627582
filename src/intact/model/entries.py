"""Entries of a state dict that are no tensors: extra state, packed weights of quantized layers, counts kept by hand.

Tensors may stand within them, in mappings and sequences, and are named by their path as files name them (`0.packed[1]`,
`_extra_state.history`). So they are compared and loaded like any other tensor, and the entry is put together again around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EXTRA_STATE = "_extra_state"
"""What `torch.nn.Module.state_dict` calls the entry that `get_extra_state` gives; torch `nn/modules/module.py`, 2.13."""

_WITHIN_EXTRA_STATE = re.compile(rf"(?:^|\.){EXTRA_STATE}(?:$|[.\[])")

DEEPEST = 8
"""Levels of mappings and sequences that are followed: a packed weight has one, extra state of large layers two."""

MOST_MEMBERS = 10_000
"""Members of one mapping or sequence that are followed."""


def is_extra_state(key: str) -> bool:
    """Whether a key names the extra state of a module, or a tensor within it."""
    return EXTRA_STATE in key and _WITHIN_EXTRA_STATE.search(key) is not None


def tensors_in(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Returns the tensors of a state dict, those within its entries by their path."""
    import torch

    found: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            found[key] = value
        else:
            found.update((path, inner) for path, inner in _leaves(str(key), value, 0) if isinstance(inner, torch.Tensor))
    return found


def entries_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries of a state dict that are no tensors."""
    import torch

    return {str(key): value for key, value in state.items() if not isinstance(value, torch.Tensor)}


def rebuilt(path: str, value: Any, tensors: Mapping[str, Any], depth: int = 0) -> Any:
    """Returns an entry with the tensors within it replaced by those that are given under their paths."""
    members = _members(path, value) if depth < DEEPEST else None
    if members is None:
        return tensors.get(path, value)
    made = {inner: rebuilt(inner, member, tensors, depth + 1) for inner, _, member in members}
    if not any(made[inner] is not member for inner, _, member in members):
        return value
    if isinstance(value, Mapping):
        return type(value)((name, made[inner]) for inner, name, _ in members)  # type: ignore[call-arg]
    return type(value)(*made.values()) if hasattr(value, "_fields") else type(value)(made.values())


def _leaves(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    members = _members(path, value) if depth < DEEPEST else None
    if members is None:
        yield path, value
        return
    for inner, _, member in members:
        yield from _leaves(inner, member, depth + 1)


def _members(path: str, value: Any) -> list[tuple[str, Any, Any]] | None:
    """Path, name and value of what a mapping or sequence holds, as `intact inspect` names it; None for anything else."""
    if isinstance(value, Mapping) and len(value) <= MOST_MEMBERS:
        return [(f"{path}.{name}", name, member) for name, member in value.items()]
    if isinstance(value, list | tuple) and len(value) <= MOST_MEMBERS:
        return [(f"{path}[{position}]", position, member) for position, member in enumerate(value)]
    return None
