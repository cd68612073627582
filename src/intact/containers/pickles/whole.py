"""How values are completed after they were made: items appended, entries set, state built in.

Only lists, dicts and sets of our own making are changed; an inert record collects what the file would have put into the object,
and a tensor of before 0.4 gets its memory this way.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from intact.containers.pickles import tensors
from intact.containers.pickles.hashing import key_of
from intact.core.container import Foreign, TensorRecord

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine


def append_to(machine: Machine, target: Any, items: list[Any]) -> None:
    """Appends items to a list, or notes them on an inert record.

    Raises:
        TypeError: The target takes no items.
    """
    machine.spend(8 * len(items))
    if type(target) is list:
        target.extend(items)
    elif isinstance(target, Foreign):
        if target.items is None:
            target.items = []
        if isinstance(target.items, dict):
            raise TypeError("items for a mapping")
        target.items.extend(items)
    else:
        raise TypeError("items for what is no list")


def put_in(machine: Machine, target: Any, items: list[Any]) -> None:
    """Sets the entries `key, value, key, value, …` in a dict, or notes them on an inert record.

    Raises:
        TypeError: The target takes no entries.
    """
    if isinstance(target, Foreign):
        if target.items is None:
            target.items = {}
        target = target.items
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("entries for what is no mapping")
    machine.budget_end -= 32 * len(items)
    for at in range(0, len(items), 2):
        key = items[at]
        target[key if type(key) is str else key_of(machine, key)] = items[at + 1]


def build_on(machine: Machine, target: Any, state: Any) -> None:
    """Gives an object the state that the file has for it.

    Raises:
        TypeError: The target takes no state.
    """
    if isinstance(target, TensorRecord):
        tensors.build(machine, target, state)
    elif isinstance(target, Foreign):
        if isinstance(target.state, dict) and isinstance(state, dict):
            machine.spend(64 * (len(target.state) + len(state)))
            state = {**target.state, **state}
        target.state = state
    elif isinstance(target, OrderedDict):
        _set_attributes(target, state)
    elif state is not None:
        raise TypeError("state for what takes none")


def _set_attributes(target: OrderedDict[Any, Any], state: Any) -> None:
    """Sets attributes such as `_metadata`; one that would hide a method of the mapping is left out."""
    if not isinstance(state, dict):
        raise TypeError("attributes that are no mapping")
    for name, value in state.items():
        if type(name) is str and not hasattr(OrderedDict, name):
            target.__dict__[name] = value
