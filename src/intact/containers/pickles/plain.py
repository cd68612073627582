"""Plain values of Python's own types, made from the arguments a file gives for them, without calling anything the file names.

Whatever does not have the expected form stays a `Foreign` with its arguments. Every copy is paid for from the budget of the
machine, because a short pickle can ask for the same long value a million times.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from intact.containers.pickles.hashing import key_of
from intact.containers.pickles.values import GlobalName, Size
from intact.core.container import Foreign

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

_FACTORIES: dict[str, Callable[[], Any]] = {
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.set": set,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.str": str,
    "builtins.bool": bool,
    "builtins.tuple": tuple,
    "collections.OrderedDict": OrderedDict,
}
"""What a `defaultdict` may make anew; other factories are left out, and such a dict raises KeyError as an ordinary one does."""


def unresolved(name: GlobalName, args: tuple[Any, ...]) -> Foreign:
    """Returns the inert record of a call."""
    return Foreign(name.name, args)


def encoded(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns bytes that a pickle of protocol 2 carries as text."""
    if len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1", "ascii", "utf-8"):
        machine.spend(len(args[0]))
        return args[0].encode(args[1])
    return unresolved(name, args)


def byte_string(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the bytes of `bytes()`, `bytes(list of int)` and `bytes(text, encoding)`."""
    if not args:
        return b""
    if len(args) == 2:
        return encoded(machine, name, args)
    if len(args) == 1 and type(args[0]) in (list, tuple, bytes):
        machine.spend(len(args[0]))
        return bytes(args[0])
    return unresolved(name, args)


def byte_array(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the bytearray of the same arguments."""
    raw = byte_string(machine, name, args)
    return bytearray(raw) if isinstance(raw, bytes) else raw


def complex_number(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:  # noqa: ARG001 - the shape of a builder
    """Returns a complex number of two floats."""
    if len(args) == 2 and all(type(part) in (int, float) for part in args):
        return complex(float(args[0]), float(args[1]))
    return unresolved(name, args)


def span(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:  # noqa: ARG001 - the shape of a builder
    """Returns a range."""
    if len(args) == 3 and all(type(part) is int for part in args) and args[2] != 0:
        return range(*args)
    return unresolved(name, args)


def cut(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:  # noqa: ARG001 - the shape of a builder
    """Returns a slice of integers."""
    if len(args) == 3 and all(part is None or type(part) is int for part in args):
        return slice(*args)
    return unresolved(name, args)


def _members(machine: Machine, args: tuple[Any, ...]) -> list[Any] | None:
    if not args:
        return []
    if len(args) == 1 and isinstance(args[0], (list, tuple, set, frozenset)):
        machine.spend(8 * len(args[0]))
        return list(args[0])
    return None


def set_of(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a set."""
    members = _members(machine, args)
    return unresolved(name, args) if members is None else {key_of(machine, member) for member in members}


def frozen_set(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a frozenset."""
    members = set_of(machine, name, args)
    return frozenset(members) if isinstance(members, set) else members


def listed(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a list."""
    members = _members(machine, args)
    return unresolved(name, args) if members is None else members


def tuple_of(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a tuple."""
    members = _members(machine, args)
    return unresolved(name, args) if members is None else tuple(members)


def size(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a shape."""
    members = _members(machine, args)
    return unresolved(name, args) if members is None else Size(members)


def _fill(machine: Machine, target: dict[Any, Any], args: tuple[Any, ...]) -> bool:
    """Puts the pairs of a mapping or of a list of pairs into a dict; False where the argument is neither."""
    if not args:
        return True
    source = args[0]
    if len(args) != 1 or not isinstance(source, (dict, list, tuple)):
        return False
    pairs = list(dict.items(source)) if isinstance(source, dict) else source
    machine.spend(64 * len(pairs))
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            return False
        target[key_of(machine, pair[0])] = pair[1]
    return True


def dictionary(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a dict."""
    made: dict[Any, Any] = {}
    return made if _fill(machine, made, args) else unresolved(name, args)


def ordered(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns an OrderedDict."""
    made: OrderedDict[Any, Any] = OrderedDict()
    return made if _fill(machine, made, args) else unresolved(name, args)


def counter(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a Counter with just the counts given."""
    made: Counter[Any] = Counter()
    return made if _fill(machine, made, args) else unresolved(name, args)


def defaulting(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a defaultdict, with its factory where that is one of Python's own types."""
    factory = args[0] if args else None
    known = _FACTORIES.get(factory.name) if isinstance(factory, GlobalName) else None
    made: defaultdict[Any, Any] = defaultdict(known)
    return made if _fill(machine, made, args[1:]) else unresolved(name, args)


def new_object(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns what `cls.__new__(cls, …)` stands for."""
    if args and isinstance(args[0], GlobalName):
        return machine.call(args[0], args[1:])
    return unresolved(name, args)


def reconstructed(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the record of an object of a plain class, with the value of its built-in base where it has one."""
    if len(args) == 3 and isinstance(args[0], GlobalName):
        machine.mark_called(args[0])
        return Foreign(args[0].name, () if args[2] is None else (args[2],))
    return unresolved(name, args)
