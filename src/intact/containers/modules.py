"""Pickled modules of torch: which object is one, and what its state says.

A module is known by its state, not by its class, because the class is often gone: whatever has `_parameters`, `_buffers` and
`_modules` is one, in every release of torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from intact.containers.pickles import GlobalName
from intact.containers.summaries import key_text
from intact.core.container import Foreign
from intact.core.description import ModuleInfo, Plain

_MEMBERS = ("_parameters", "_buffers", "_modules")
_CONFIGURATIONS = frozenset({"config", "cfg", "hparams", "args", "opt", "options", "params"})
"""Attributes under which people keep what their constructor was given."""
_MOST_ENTRIES, _MOST_ITEMS, _DEEPEST = 200, 64, 3
"""Entries of a configuration, items of a sequence, and sequences in sequences: what is read of a live model too."""
_LONGEST_TEXT = 200
_LONGEST_NUMBER_BITS = 64
_ABSENT = object()


def state_of(value: Any) -> dict[Any, Any] | None:
    """Returns the state of a pickled module, None for any other object."""
    if not isinstance(value, Foreign):
        return None
    if _is_state(value.state):
        found: dict[Any, Any] = value.state
        return found
    # Some classes are rebuilt by a function that takes the state, as torch.fx does it.
    return next((given for given in value.args or () if _is_state(given)), None) if value.state is None else None


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), dict) for name in _MEMBERS)


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
    found: dict[str, Plain] = {}
    for name, value in dict.items(state):
        if type(name) is not str or name[:1] == "_":
            continue
        if (taken := _plain(value)) is not _ABSENT:
            found[name] = taken
        elif name in _CONFIGURATIONS:
            found.update(_configuration(name, value))
    return ModuleInfo(path, class_name, found, children=tuple(name for name, _ in children(state)))


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as plain data, or `_ABSENT` for one that is none."""
    if type(value) in (float, bool, type(None)) or (type(value) is int and value.bit_length() <= _LONGEST_NUMBER_BITS):
        return value
    if type(value) is str:
        return value if len(value) <= _LONGEST_TEXT else _ABSENT
    if isinstance(value, GlobalName) and value.name == f"torch.{value.dtype}":
        return value.dtype
    if not isinstance(value, (tuple, list)) or len(value) > _MOST_ITEMS or depth >= _DEEPEST:
        return _ABSENT
    items = tuple(_plain(item, depth + 1) for item in value)
    return _ABSENT if any(item is _ABSENT for item in items) else items


def _configuration(name: str, value: Any) -> Iterator[tuple[str, Plain]]:
    """Yields the plain entries of an object that a module keeps its arguments in."""
    entries = value.state if isinstance(value, Foreign) else value
    for key, entry in islice(dict.items(entries), _MOST_ENTRIES) if isinstance(entries, dict) else ():
        if type(key) is str and key[:1] != "_" and (taken := _plain(entry)) is not _ABSENT:
            yield f"{name}.{key}", taken
