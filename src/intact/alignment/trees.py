"""Keys as a tree of modules, each with a digest of the shapes below it.

A module that holds nothing but one other module is not told from it, so that wrappers of any name disappear. The digest of a
module is the sum of the digests of its tensors: it does not depend on names, on order, or on how the modules in between are
nested, and two modules of equal digest hold the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from intact.core.tensor import TensorInfo

_MASK = (1 << 64) - 1


@dataclass(slots=True, eq=False)
class Node:
    """A module, or a single tensor.

    Attributes:
        path: Its dotted path from the root.
        first: Place of its first tensor in the order of its side.
        digest: Of all shapes below it; equal for equal collections of shapes.
        count: How many tensors stand below it, those without dimensions left out.
        children: Modules and tensors in it, in order; empty for a tensor.
        tensor: The tensor, for a node that is one.
    """

    path: str
    first: int = 0
    digest: int = 0
    count: int = 0
    children: list[Node] = field(default_factory=list)
    tensor: TensorInfo | None = None

    def leaves(self) -> Iterator[TensorInfo]:
        """Yields the tensors below, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node.tensor is not None:
                yield node.tensor
            waiting.extend(reversed(node.children))


def canonical(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns what is left of a shape when turning a matrix round and dropping dimensions of one element change nothing."""
    return tuple(sorted(size for size in shape if size != 1))


def grow(tensors: Iterable[TensorInfo], *, loose: bool = False) -> Node:
    """Returns the tree of some keys.

    Args:
        tensors: In the order of their side. Those without dimensions (counters) are left out: releases add and drop them.
        loose: Whether shapes that differ by a transposition or by dimensions of one element count as equal.
    """
    root = Node("")
    modules: dict[str, Node] = {"": root}
    for number, tensor in enumerate(tensors):
        if not tensor.shape:
            continue
        shape = canonical(tensor.shape) if loose else tensor.shape
        owner = _module(tensor.key.rpartition(".")[0], modules)
        owner.children.append(Node(tensor.key, number, _mixed(shape), 1, tensor=tensor))
    return _summed(root)


def _module(path: str, modules: dict[str, Node]) -> Node:
    found = modules.get(path)
    if found is None:
        found = modules[path] = Node(path)
        _module(path.rpartition(".")[0], modules).children.append(found)
    return found


def _mixed(shape: tuple[int, ...]) -> int:
    """Returns a digest of one shape that adds up without collisions: the built-in hash of numbers, spread over 64 bits."""
    value = (hash(shape) * 0x9E3779B97F4A7C15) & _MASK
    value ^= value >> 29
    return (value * 0xBF58476D1CE4E5B9) & _MASK


def _summed(root: Node) -> Node:
    order, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting.extend(node.children)
    for node in reversed(order):
        node.children = [_only_child(child) for child in node.children]
        if node.tensor is None and node.children:
            node.first = min(child.first for child in node.children)
            node.digest = sum(child.digest for child in node.children) & _MASK
            node.count = sum(child.count for child in node.children)
            node.children.sort(key=lambda child: child.first)
    return _only_child(root)


def _only_child(node: Node) -> Node:
    while node.tensor is None and len(node.children) == 1:
        node = node.children[0]
    return node
