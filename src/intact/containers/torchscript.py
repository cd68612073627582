"""TorchScript archives: a checkpoint's zip with code beside the tensors; the state dict that the program would have.

`data.pkl` holds the modules as objects of classes that stand in the archive's own `code/`. Which of their tensors are parameters
and buffers is read from the text of these classes, two lines of each; nothing of the code is compiled. Tensors that are plain
attributes are no part of a state dict.

Source:
    torch 2.13 `jit/_serialization.py`, `torch/csrc/jit/serialization`; archives of 1.1 to 2.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from intact.containers.pickles import Unpickled
from intact.containers.zips import Zip
from intact.core.container import Foreign, TensorRecord
from intact.core.description import ForeignName
from intact.core.remark import Remark
from intact.errors import CannotRead

PREFIX = "__torch__."
CODE_LIMIT_BYTES = 1 << 26
"""Code that is looked through, all files together."""
DEPTH_LIMIT = 100
MODULES_LIMIT = 1_000_000
_OWN = ("__torch__.", "torch.jit._pickle.", "__torch__", "torch.jit.")
_CLASS = re.compile(
    r"^class (\w+)\(Module\):\n  __parameters__ = \[([^\]]*)\]\n(?:  __buffers__ = \[([^\]]*)\]\n)?", re.MULTILINE
)
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')

REMARK = Remark(
    "file/torchscript-archive",
    "it is a TorchScript program: code and weights in one archive, which torch.load does not take for a checkpoint",
    "error",
    cause="it was written by torch.jit.save; its pickle names classes that only its own code has",
    help="intact reads the weights without the code; with torch, use the state dict of what torch.jit.load returns",
    opened=True,
)


def is_program(archive: Zip, folder: str) -> bool:
    """Tells whether an archive with `data.pkl` holds code beside it."""
    return f"{folder}constants.pkl" in archive or any(name.startswith(f"{folder}code/".lower()) for name in archive.entries)


def state_of_program(archive: Zip, folder: str, unpickled: Unpickled) -> Unpickled:
    """Returns the state dict of a program in place of its objects.

    Args:
        archive: The archive.
        folder: Where `data.pkl` stands, with its slash.
        unpickled: What stands there.
    """
    if not _is_module(unpickled.value):
        return replace(unpickled, foreign=tuple(_others(unpickled.foreign)))
    state: dict[str, Any] = {}
    for key, value in _entries(unpickled.value, _classes(archive, folder)):
        state.setdefault(key, value)
    return replace(unpickled, value=state, foreign=tuple(_others(unpickled.foreign)))


def _others(names: tuple[ForeignName, ...]) -> Iterator[ForeignName]:
    """Names that are no classes of the program: torch's own reader resolves those in the archive and imports nothing."""
    return (name for name in names if not name.name.startswith(_OWN))


def _is_module(value: Any) -> bool:
    return isinstance(value, Foreign) and value.name.startswith(PREFIX) and isinstance(value.state, dict)


def _entries(root: Foreign, classes: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> Iterator[tuple[str, Any]]:
    """Yields the parameters and buffers by path, in the order of the modules."""
    todo: list[tuple[str, Foreign, int]] = [("", root, 0)]
    visited = 0
    while todo:
        path, module, depth = todo.pop()
        visited += 1
        known = classes.get(module.name)
        inner: list[tuple[str, Foreign, int]] = []
        for name, value in dict.items(module.state):
            if type(name) is not str:
                continue
            key = f"{path}.{name}" if path else name
            if isinstance(value, TensorRecord):
                if known is None or name in known[0] or name in known[1]:
                    yield key, value
            elif _is_module(value) and depth < DEPTH_LIMIT:
                inner.append((key, value, depth + 1))
        if visited < MODULES_LIMIT:
            todo.extend(reversed(inner))


def _classes(archive: Zip, folder: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Returns the names of parameters and of buffers by the full name of a class, as the pickle writes it."""
    found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    begin, left = f"{folder}code/", CODE_LIMIT_BYTES
    for entry in archive.entries.values():
        if not entry.name.startswith(begin) or not entry.name.endswith(".py") or entry.size_bytes > left:
            continue
        left -= entry.size_bytes
        try:
            text = bytes(archive.content(entry)).decode("utf-8", "replace")
        except CannotRead:
            continue
        module = entry.name[len(begin) : -len(".py")].replace("/", ".")
        for match in _CLASS.finditer(text):
            parameters, buffers = (frozenset(_NAME.findall(group or "")) for group in (match[2], match[3]))
            found[f"{module}.{match[1]}"] = (parameters, buffers)
    return found
