"""Pickled modules of torch: which object is one, and what its state says.

A module is known by its state, not by its class, because the class is often gone: whatever has `_parameters`, `_buffers` and
`_modules` is one, in every release of torch.
"""

from __future__ import annotations

from typing import Any

from intact.containers.summaries import key_text
from intact.core.container import Foreign
from intact.core.description import ModuleInfo, Plain

_MEMBERS = ("_parameters", "_buffers", "_modules")
_ITEMS_LIMIT = 16
"""Longest tuple that counts as a hyperparameter."""
_TEXT_LIMIT = 200


def state_of(value: Any) -> dict[Any, Any] | None:
    """Returns the state of a pickled module, None for any other object."""
    state = value.state if isinstance(value, Foreign) else None
    if isinstance(state, dict) and all(isinstance(state.get(name), dict) for name in _MEMBERS):
        return state
    return None


def entries(state: dict[Any, Any], member: str) -> list[tuple[str, Any]]:
    """Returns names and values of one of a module's three mappings."""
    return [(key_text(name), value) for name, value in dict.items(state[member])]


def children(state: dict[Any, Any]) -> list[tuple[str, Any]]:
    """Returns names and modules of the direct submodules, without those set to None."""
    return [(name, child) for name, child in entries(state, "_modules") if child is not None]


def transient_buffers(state: dict[Any, Any]) -> frozenset[str]:
    """Returns the names of buffers that the module keeps out of its state dict."""
    names = state.get("_non_persistent_buffers_set")
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, (set, frozenset)) else frozenset()


def info(path: str, class_name: str, state: dict[Any, Any]) -> ModuleInfo:
    """Returns what is known of one module."""
    hyperparameters = {name: value for name, value in state.items() if type(name) is str and name[:1] != "_" and _is_plain(value)}
    return ModuleInfo(path, class_name, hyperparameters, children=tuple(name for name, _ in children(state)))


def _is_plain(value: Any) -> bool:
    if type(value) in (int, float, bool):
        return type(value) is not int or value.bit_length() <= 64
    if type(value) is str:
        return len(value) <= _TEXT_LIMIT
    return isinstance(value, tuple) and len(value) <= _ITEMS_LIMIT and all(_is_plain_item(item) for item in value)


def _is_plain_item(value: Plain) -> bool:
    return not isinstance(value, tuple) and _is_plain(value)
