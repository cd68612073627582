"""What `torch.load` would give, from the inert objects of any container: same nesting, same identity, nothing run.

The walk is iterative, because a file may nest as deep as it likes. Mutable objects are made empty first and filled at the end, so
that cycles close; tuples and frozen sets are made when all their members are.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from intact.arrays import array_of
from intact.assembly import Assembler
from intact.core.container import Container, Foreign, Storage, TensorRecord

if TYPE_CHECKING:
    import torch


def read_objects(container: Container, *, mapped: bool = False) -> Any:
    """Returns the whole content of a checkpoint.

    Args:
        container: Open; tensors outlive it.
        mapped: Whether tensors may be views of the mapped file instead of owning their memory.

    Raises:
        CannotRead: Bytes are missing, contradict each other, or need a newer torch.
    """
    return _Reader(Assembler(container, mapped=mapped)).read(container.objects())


class Maker(Protocol):
    """What makes the leaves of a nesting: tensors, or whatever is to stand for them."""

    def tensor(self, record: TensorRecord) -> Any:
        """Returns what stands for a tensor."""
        ...

    def storage(self, storage: Storage) -> Any:
        """Returns what stands for a storage that stands by itself."""
        ...


def read_as(maker: Maker, objects: Any) -> Any:
    """Returns inert objects with leaves made by somebody else; same nesting, same identity.

    Args:
        maker: Makes the leaves.
        objects: The inert objects.
    """
    return _Reader(maker).read(objects)


def read_tensor(container: Container, key: str) -> torch.Tensor:
    """Returns one tensor of a checkpoint, by a key that its description lists."""
    return Assembler(container, mapped=False).tensor(container.record(key))


def read_values(container: Container, keys: Iterable[str]) -> dict[str, torch.Tensor]:
    """Returns tensors by key, as views of the mapped file, to be copied before it can change; what shares memory shares it."""
    assembler = Assembler(container, mapped=True)
    return {key: assembler.tensor(container.record(key)) for key in keys}


class _Reader:
    def __init__(self, assembler: Maker) -> None:
        self._assembler = assembler
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # what `_made` knows by identity must stay alive
        self._hollow: list[tuple[Any, Any]] = []

    def read(self, root: Any) -> Any:
        todo = [root]
        while todo:
            node = todo[-1]
            if id(node) in self._made or not _composed(node):
                todo.pop()
            elif isinstance(node, tuple | frozenset):
                waiting = [m for m in node if _composed(m) and id(m) not in self._made]
                if waiting:
                    todo.extend(waiting)
                else:
                    self._remember(node, self._frozen(node))
                    todo.pop()
            else:
                todo.pop()
                todo.extend(m for m in self._opened(node) if _composed(m))
        for node, hollow in self._hollow:
            self._fill(node, hollow)
        return self._of(root)

    def _opened(self, node: Any) -> Iterator[Any]:
        """Makes the new object of a mutable one, and yields what it holds where it is still to be filled."""
        made = self._leaf(node)
        if made is not None:
            self._remember(node, made)
            return
        hollow = _hollow_of(node)
        self._remember(node, hollow)
        self._hollow.append((node, hollow))
        yield from _members(node)

    def _leaf(self, node: Any) -> Any:
        if isinstance(node, TensorRecord):
            return self._assembler.tensor(node)
        if isinstance(node, Storage):
            return self._assembler.storage(node)
        if isinstance(node, memoryview):
            return bytes(node)
        if not isinstance(node, Foreign):
            return None
        made = _known(node)
        plain = getattr(self._assembler, "plain", None)
        return plain(made) if plain is not None and made is not None else made

    def _remember(self, node: Any, made: Any) -> None:
        self._made[id(node)] = made
        self._kept.append(node)

    def _of(self, node: Any) -> Any:
        return self._made[id(node)] if _composed(node) else node

    def _frozen(self, node: Any) -> Any:
        members = [self._of(member) for member in node]
        if isinstance(node, frozenset):
            return frozenset(members)
        if type(node) is tuple:
            return tuple(members)
        import torch

        return torch.Size(members) if all(type(size) is int for size in members) else tuple(members)

    def _fill(self, node: Any, hollow: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                hollow[self._of(key)] = self._of(value)  # one by one: `update` of a Counter would count the pairs
            for name, value in getattr(node, "__dict__", {}).items():
                setattr(hollow, name, self._of(value))
        elif isinstance(node, list):
            hollow.extend(map(self._of, node))
        elif isinstance(node, set):
            hollow.update(map(self._of, node))
        else:
            hollow.args, hollow.state, hollow.items = self._of(node.args), self._of(node.state), self._of(node.items)


def _composed(node: Any) -> bool:
    """Whether a value is anything but a plain one that stays as it is."""
    return isinstance(node, dict | list | tuple | set | frozenset | TensorRecord | Foreign | Storage | memoryview)


def _hollow_of(node: Any) -> Any:
    if isinstance(node, Foreign):
        return Foreign(node.name)
    if isinstance(node, defaultdict):
        return defaultdict(node.default_factory)
    return OrderedDict() if isinstance(node, OrderedDict) else type(node)()


def _members(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from node
        yield from node.values()
        yield from getattr(node, "__dict__", {}).values()
    elif isinstance(node, Foreign):
        yield from (node.args, node.state, node.items)
    else:
        yield from node


def _known(record: Foreign) -> Any:
    """Returns what a record of torch's or NumPy's own plain values stands for, None for any other."""
    import torch

    if record.args is None and record.state is None and record.items is None and record.name.startswith("torch."):
        named = getattr(torch, record.name.removeprefix("torch."), None)
        return named if isinstance(named, torch.dtype | torch.layout | torch.memory_format) else None
    if record.name == "torch.device" and record.args and isinstance(record.args[0], str):
        try:
            return torch.device(*record.args)
        except (RuntimeError, TypeError):
            return None
    made = array_of(record) if record.name.startswith("numpy.") else record
    return None if made is record else made
