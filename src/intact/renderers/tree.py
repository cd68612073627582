"""The modules of a checkpoint as a tree: by recorded classes where the file has them, by the dots of its keys otherwise.

Numbered neighbours that are alike in everything, down to the last tensor, share one line (`{0..11}`). The tree is at most
`DEEPEST` levels deep whatever a file claims; what lies deeper stays written with dots.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from intact.core.description import Description, ModuleInfo
from intact.core.grouping import index_text
from intact.core.tensor import TensorInfo
from intact.core.wording import shape_text
from intact.renderers.layout import Row
from intact.renderers.words import cells, clean, name, padded, shorten, size_text

DEEPEST = 40
MOST_LINES = 200
WIDEST = 90
_HYPERPARAMETERS = 60


@dataclass(slots=True)
class Node:
    """One component of a path, with what stands directly under it.

    Attributes:
        module: What the file says of the module at this path, where it says something.
        tensors: Its own tensors by name.
        children: By the next component.
        size_bytes: Of everything under it.
        likeness: Equal just for nodes that are alike in everything under them.
    """

    module: ModuleInfo | None = None
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    size_bytes: int = 0
    likeness: int = 0


def tree_rows(found: Description, *, everything: bool = False, width: int | None = None) -> Iterator[Row]:
    """Yields the tree.

    Args:
        found: What the checkpoint holds.
        everything: Whether to list every module on a line of its own, however many there are.
        width: Columns of the terminal; None for lines of any length.
    """
    root = _built(found)
    _finish(root, {})
    lines = [("(root)", root, 1, ""), *_lines(root, "", fold=not everything)]
    shown = lines if everything else lines[:MOST_LINES]
    lefts = [f"{art}{_title(label, node)}" for label, node, _, art in shown]
    column = min(max(map(cells, lefts)), WIDEST if width is None else max(40, width - 24))
    for left, (_, node, times, _) in zip(lefts, shown, strict=True):
        size = f"{times:,} x {size_text(node.size_bytes)}" if times > 1 else size_text(node.size_bytes)
        text = f"{padded(shorten(left, column), column)}  {size if node.size_bytes else '':>14}  {_own(node)}"
        yield Row((text if width is None or len(text) <= width else f"{text[: width - 1]}…").rstrip(), whole=True)
    if len(shown) < len(lines):
        yield Row(f"and {len(lines) - len(shown):,} more lines, --all-keys shows them")


def _built(found: Description) -> Node:
    root = Node(found.modules.get(""))
    for path, module in found.modules.items():
        _at(root, path).module = module
    for key, tensor in found.tensors.items():
        owner, _, leaf = key.rpartition(".")
        _at(root, owner).tensors[leaf] = tensor
    return root


def _at(root: Node, path: str) -> Node:
    node = root
    for part in path.split(".", DEEPEST) if path else ():
        node = node.children.setdefault(part, Node())
    return node


def _finish(node: Node, known: dict[Hashable, int]) -> None:
    """Fills in sizes and likenesses, from the leaves up; equal descriptions get equal numbers."""
    for child in node.children.values():
        _finish(child, known)
    node.size_bytes = sum(t.size_bytes for t in node.tensors.values()) + sum(c.size_bytes for c in node.children.values())
    described = (
        node.module and (node.module.class_name, repr(node.module.hyperparameters)),
        tuple((leaf, tensor.dtype, tensor.shape, tensor.layout) for leaf, tensor in node.tensors.items()),
        tuple((part, child.likeness) for part, child in node.children.items()),
    )
    node.likeness = known.setdefault(described, len(known) + 1)


def _lines(node: Node, art: str, *, fold: bool) -> Iterator[tuple[str, Node, int, str]]:
    """Yields (label, node, how many nodes it stands for, lines of the tree before it), depth first."""
    rows = [_chained(row) for row in _folded(node.children)] if fold else [(part, c, 1) for part, c in node.children.items()]
    for number, (label, child, times) in enumerate(rows):
        last = number == len(rows) - 1
        yield label, child, times, f"{art}{'└── ' if last else '├── '}"
        yield from _lines(child, f"{art}{'    ' if last else '│   '}", fold=fold)


def _folded(children: Mapping[str, Node]) -> list[tuple[str, Node, int]]:
    """Returns the children, numbered ones that are alike as one."""
    alike: dict[Hashable, list[str]] = {}
    for part, child in children.items():
        numbered = part.isascii() and part.isdecimal() and str(int(part[:18])) == part
        alike.setdefault(child.likeness if numbered else part, []).append(part)
    rows = []
    for parts in alike.values():
        label = parts[0] if len(parts) == 1 else index_text(sorted(map(int, parts)), 6)
        rows.append((label, children[parts[0]], len(parts)))
    return rows


def _chained(row: tuple[str, Node, int]) -> tuple[str, Node, int]:
    """Returns a row in which levels that hold nothing but one more level are written with dots: `encoder.layer`."""
    label, node, times = row
    while times == 1 and node.module is None and not node.tensors and len(node.children) == 1:
        (part, node), *_ = node.children.items()
        label = f"{label}.{part}"
    return label, node, times


def _title(label: str, node: Node) -> str:
    title = name(label)
    if node.module is None:
        return title
    shown = ", ".join(f"{key}={value!r}" for key, value in node.module.hyperparameters.items() if key != "training")
    arguments = f"({shorten(clean(shown[: 4 * _HYPERPARAMETERS]), _HYPERPARAMETERS)})" if shown else ""
    return f"{title}  {name(_class(node.module.class_name))}{arguments}"


def _class(class_name: str) -> str:
    """Returns a class by its last name where torch brings it, by its full name otherwise."""
    return class_name.rpartition(".")[2] if class_name.startswith("torch.nn.") else class_name


def _own(node: Node) -> str:
    dtypes = {tensor.dtype for tensor in node.tensors.values()}
    one = f"{name(next(iter(dtypes)))}  " if len(dtypes) == 1 else ""
    listed = [
        f"{name(leaf)} {'' if one else name(tensor.dtype) + ' '}{shape_text(tensor.shape)}"
        for leaf, tensor in node.tensors.items()
    ]
    return one + ", ".join(listed[:6]) + (f" and {len(listed) - 6:,} more" if len(listed) > 6 else "")
