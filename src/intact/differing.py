"""`intact.diff`: two checkpoints side by side: what was added, removed, renamed, cast and changed, and by how much.

Keys that do not agree are aligned as a checkpoint is aligned with a model, by the same rules. Values are compared one tensor at
a time, so that two files of any size take the memory of two tensors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from intact.containers import open_container
from intact.containers.streams import Streams
from intact.core.container import Container
from intact.core.description import Description, Source
from intact.core.keys import is_ordinary
from intact.core.rule import Facts
from intact.core.tensor import TensorInfo
from intact.core.tensor_difference import TensorDifference
from intact.diagnosis import diagnose
from intact.errors import CannotRead
from intact.files.progress import working
from intact.rules import RULES
from intact.survey import equal_bytes
from intact.tensor_comparing import compare_tensors


@dataclass(frozen=True, slots=True)
class Diff:
    """What two checkpoints have in common, and what not.

    Attributes:
        first: The first checkpoint.
        second: The second.
        added: Keys that only the second has.
        removed: Keys that only the first has.
        renamed: Key of the first to key of the second, where the evidence leaves no other.
        reshaped: Key to its two shapes.
        tensors: How the values of each common tensor compare, in the order of the second.
        extras_added: Entries that are no tensors and only the second has.
        extras_removed: Those that only the first has.
        extras_changed: Path to the two values, as text.
    """

    first: Source
    second: Source
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: Mapping[str, str]
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    tensors: tuple[TensorDifference, ...]
    extras_added: tuple[str, ...]
    extras_removed: tuple[str, ...]
    extras_changed: Mapping[str, tuple[str, str]]

    @property
    def same_weights(self) -> bool:
        """Whether both hold the same numbers, under whatever names and dtypes."""
        alike = all(tensor.likeness in ("equal", "exact") for tensor in self.tensors)
        return alike and not (self.added or self.removed or self.reshaped)

    @property
    def changed(self) -> tuple[TensorDifference, ...]:
        """Tensors with other numbers, those that moved most first."""
        mine = [tensor for tensor in self.tensors if tensor.likeness in ("rounded", "different")]
        return tuple(sorted(mine, key=lambda tensor: -tensor.relative))

    def __str__(self) -> str:
        """Returns the comparison as the command prints it."""
        from intact.renderers.diff import render

        return render(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain data."""
        return {
            "first": {"path": self.first.path, "container": self.first.container, "size_bytes": self.first.size_bytes},
            "second": {"path": self.second.path, "container": self.second.container, "size_bytes": self.second.size_bytes},
            "same_weights": self.same_weights,
            "added": list(self.added),
            "removed": list(self.removed),
            "renamed": dict(self.renamed),
            "reshaped": {key: [list(one), list(other)] for key, (one, other) in self.reshaped.items()},
            "tensors": [_plain(tensor) for tensor in self.tensors],
            "extras": {
                "added": list(self.extras_added),
                "removed": list(self.extras_removed),
                "changed": {path: list(values) for path, values in self.extras_changed.items()},
            },
        }


def _plain(tensor: TensorDifference) -> dict[str, Any]:
    return {**asdict(tensor), "dtypes": list(tensor.dtypes), "shape": list(tensor.shape)}


def diff_checkpoints(first: str | os.PathLike[str], second: str | os.PathLike[str], *, values: bool = True) -> Diff:
    """Returns how two checkpoints differ.

    Args:
        first: File, folder or index of any container.
        second: The other one.
        values: Whether values are compared too, and not names, shapes and dtypes alone.

    Raises:
        CannotRead: One of them is no checkpoint that can be read.
    """
    with ExitStack() as stack:
        one, other = (stack.enter_context(closing(open_container(path))) for path in (first, second))
        a, b = one.describe(), other.describe()
        origins = _aligned(one, a, b)
        used = set(origins.values())
        pairs = [(origins[key], key) for key in b.tensors if key in origins]
        common = [(x, y) for x, y in pairs if a.tensors[x].shape == b.tensors[y].shape]
        compared = tuple(_compared(one, other, common)) if values else ()
        extras = {extra.path: extra.text for extra in a.extras}, {extra.path: extra.text for extra in b.extras}
        return Diff(
            one.source,
            other.source,
            tuple(key for key in b.tensors if key not in origins),
            tuple(key for key in a.tensors if key not in used),
            {x: y for x, y in pairs if x != y},
            {y: (a.tensors[x].shape, b.tensors[y].shape) for x, y in pairs if a.tensors[x].shape != b.tensors[y].shape},
            compared,
            tuple(path for path in extras[1] if path not in extras[0]),
            tuple(path for path in extras[0] if path not in extras[1]),
            {path: (text, extras[1][path]) for path, text in extras[0].items() if path in extras[1] and extras[1][path] != text},
        )


def _aligned(container: Container, first: Description, second: Description) -> dict[str, str]:
    """Returns key of the second to key of the first."""
    if set(first.tensors) == set(second.tensors):
        return {key: key for key in second.tensors}
    wanted = {key: _wanted(tensor) for key, tensor in second.tensors.items() if is_ordinary(key)}
    held = replace(first, tensors={key: tensor for key, tensor in first.tensors.items() if is_ordinary(key)})
    facts = Facts(
        held,
        replace(second, tensors=wanted),
        (),
        held,
        container.source.container,
        same_bytes=lru_cache(maxsize=None)(lambda x, y: equal_bytes(container, x, y)),
    )
    explaining = [rule for rule in RULES if rule.phase == "explain"]
    diagnosis = diagnose(facts, explaining)
    found: dict[str, str] = {}
    current = held
    for _, step in diagnosis.plan.steps:
        if not step.lossless or step.kind not in ("unnest", "rename"):
            break
        current = step.predict(current)
    taken: set[str] = set()
    for key, tensor in current.tensors.items():
        source = tensor.source
        if key in second.tensors and source in first.tensors and source not in taken and not tensor.parts:
            found[key] = source
            taken.add(source)
    for key in second.tensors:  # what no step spoke of stays under its own name
        if key not in found and key in first.tensors and key not in taken:
            found[key] = key
            taken.add(key)
    return {key: found[key] for key in second.tensors if key in found}


def _wanted(tensor: TensorInfo) -> TensorInfo:
    return replace(tensor, source="")


def _compared(one: Container, other: Container, pairs: list[tuple[str, str]]) -> Iterator[TensorDifference]:
    streams = Streams(one), Streams(other)
    records = [(one.record(x), other.record(y)) for x, y in pairs]
    a, b = one.describe().tensors, other.describe().tensors
    sizes = [a[x].size_bytes + b[y].size_bytes for x, y in pairs]
    with working("comparing", sum(sizes)) as advance:
        for (x, y), (first, second), size in zip(pairs, records, sizes, strict=True):
            try:
                yield compare_tensors((x, y), first, second, streams)
            except CannotRead:
                yield TensorDifference(y, x, (first.dtype, second.dtype), second.shape, "unread", elements=second.elements)
            advance(size)
