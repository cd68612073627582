"""Where in a checkpoint tensors stand, coarse enough to be counted: `model`, `optimizer.state`, a pickled module.

A place is the path of the mapping that holds a tensor, cut before its first number, so that a thousand entries of optimizer state
are one place; everything inside one pickled module is one place, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from intact.core.description import Description, ModuleInfo
from intact.core.tensor import TensorInfo

MOST_PLACES = 12
"""Places that a table lists; where there are more, only the first component of each path is told apart."""

_NUMBER = re.compile(r"(?:\.|\[|\A)[0-9]+(?=\.|\]|\Z)")


def places_of(found: Description) -> dict[str, list[TensorInfo]]:
    """Returns the tensors by place, places in the order of their first tensor; a tensor with several keys stands at each."""
    rows: dict[str, list[TensorInfo]] = {}
    known: dict[str, str] = {}
    for tensor in found.tensors.values():
        if tensor.nest not in known:
            known[tensor.nest] = _place(tensor.nest, found.modules)
        rows.setdefault(known[tensor.nest], []).append(tensor)
    return rows if len(rows) <= MOST_PLACES else _coarse(rows)


def _place(nest: str, modules: Mapping[str, ModuleInfo]) -> str:
    if nest in modules:
        return _root(nest, modules)
    cut = _NUMBER.search(nest)
    return nest[: cut.start()] if cut else nest


def _root(path: str, modules: Mapping[str, ModuleInfo]) -> str:
    """Returns the outermost module around a module."""
    while path:
        owner = path.rpartition(".")[0]
        if owner not in modules:
            break
        path = owner
    return path


def _coarse(rows: Mapping[str, list[TensorInfo]]) -> dict[str, list[TensorInfo]]:
    joined: dict[str, list[TensorInfo]] = {}
    for place, tensors in rows.items():
        joined.setdefault(re.split(r"[.\[]", place, maxsplit=1)[0], []).extend(tensors)
    return joined
