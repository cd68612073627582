"""`intact.salvage`: every tensor of a damaged checkpoint that is provably whole, and what became of the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intact.assembly import Assembler
from intact.core.judged import Judged
from intact.core.report import Report
from intact.core.tensor import TensorInfo
from intact.errors import IntactError
from intact.examination import examine
from intact.remains.parts import Part, parts_of
from intact.remains.proofs import Undone, judge
from intact.writing import Format, write_checkpoint

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is left of a checkpoint.

    Attributes:
        tensors: Key to tensor, of those that are provably whole; each owns its memory.
        restored: Key to tensor, of those that agree with their CRC-32 once one bit is flipped back.
        suspicious: Key to tensor, of those whose bytes are there and not to be trusted.
        lost: Keys of which nothing is left, and why.
        judged: What can be said of every key, in the order of the file.
        sizes: Bytes of each key, where its shape is known.
        report: What `check` says of the file.
    """

    tensors: Mapping[str, torch.Tensor]
    restored: Mapping[str, torch.Tensor]
    suspicious: Mapping[str, torch.Tensor]
    lost: Mapping[str, str]
    judged: Mapping[str, Judged]
    sizes: Mapping[str, int]
    report: Report

    def __str__(self) -> str:
        """Returns the summary as the command prints it."""
        from intact.renderers.salvage import render

        return render(self.report.source.path, self.judged.values(), self.sizes)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the tensors as plain data."""
        rows = [_row(judged, self.sizes.get(judged.key)) for judged in self.judged.values()]
        return {**self.report.to_dict(), "salvage": {"counts": self.counts(), "keys": rows}}

    def counts(self) -> dict[str, int]:
        """Returns how many keys are in each state."""
        found = dict.fromkeys(("whole", "restored", "suspicious", "lost"), 0)
        for judged in self.judged.values():
            found[judged.state] += 1
        return found


def _row(judged: Judged, size_bytes: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"key": judged.key, "state": judged.state, "size_bytes": size_bytes}
    if judged.proof:
        row["proof"] = judged.proof
    if judged.why:
        row["reason"] = judged.why
    if judged.flip:
        row["flip"] = {
            "record": judged.flip.record,
            "byte": judged.flip.byte,
            "bit": judged.flip.bit,
            "false_chance": judged.flip.false_chance,
        }
    return row


def salvage_from(path: str | os.PathLike[str], *, mapped: bool = False) -> Salvage:
    """Returns what is left of a checkpoint.

    Args:
        path: File, folder or index.
        mapped: Whether tensors may be views of the file, for those who write them elsewhere at once.

    Raises:
        CannotRead: It is not there, is no checkpoint, or not one name of a tensor is left.
    """
    examination = examine(path, values=True)
    report = examination.report
    examination.close()
    found = _Found()
    with ExitStack() as stack:
        for part in parts_of(path):
            if part.container is not None:
                stack.enter_context(closing(part.container))
            found.add(part, mapped=mapped)
    return Salvage(found.tensors, found.restored, found.suspicious, found.lost, found.judged, found.sizes, report)


def write_salvaged(
    found: Salvage,
    output: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str],
    include: Iterable[str] = (),
    format: Format | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
) -> int:
    """Writes the tensors that are whole into a new file, and returns how many there are; none writes no file.

    Args:
        found: What was salvaged.
        output: The new file, written atomically.
        source: The damaged checkpoint, which must not be overwritten.
        include: `restored`, `suspicious`: states to be written too.
        format: `safetensors` or `torch`; by the ending of `output` where not given.
        overwrite: Whether an existing `output` may be replaced.

    Raises:
        IntactError: The output is the source, exists, or cannot be written.
    """
    states = {"whole": found.tensors, "restored": found.restored, "suspicious": found.suspicious}
    chosen = {"whole", *include}
    values = {key: states[j.state][key] for key, j in found.judged.items() if j.state in chosen and j.state in states}
    if values:
        write_checkpoint(output, values, source=source, format=format, overwrite=overwrite, read=found.report.source)
    return len(values)


@dataclass(slots=True)
class _Found:
    """What the parts of a checkpoint gave so far."""

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    restored: dict[str, torch.Tensor] = field(default_factory=dict)
    suspicious: dict[str, torch.Tensor] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, part: Part, *, mapped: bool) -> None:
        """Adds what one part holds; a key that another part gave whole stays as it is."""
        rows = [row for row in judge(part) if row.key not in self.judged or self.judged[row.key].state == "lost"]
        if part.container is not None:
            self._note_sizes(part.container.describe().tensors.values())
        for row in _with_tensors(part, rows, mapped=mapped):
            judged, tensor = row
            self.judged[judged.key] = judged
            self.lost.pop(judged.key, None)
            if tensor is None:
                self.lost[judged.key] = judged.why
            else:
                {"whole": self.tensors, "restored": self.restored}.get(judged.state, self.suspicious)[judged.key] = tensor

    def _note_sizes(self, tensors: Iterable[TensorInfo]) -> None:
        self.sizes.update((tensor.key, tensor.size_bytes) for tensor in tensors)


def _undone(part: Part, rows: list[Judged]) -> Any:
    """The container of a part, which hands out its records with their bits flipped back."""
    container: Any = part.container
    if hasattr(container, "undo"):  # a tensor is made of several records
        for row in rows:
            if row.flip is not None:
                container.undo(row.flip.record, row.flip.byte, row.flip.bit)
        return container
    flips = {
        storage.name: (row.flip.byte, row.flip.bit)
        for row in rows
        if row.flip is not None and (storage := container.record(row.key).storage) is not None
    }
    return Undone(container, flips)


def _with_tensors(part: Part, rows: list[Judged], *, mapped: bool) -> Iterator[tuple[Judged, torch.Tensor | None]]:
    """Yields every tensor that there is with what can be said of it; one that cannot be built is lost."""
    if part.container is None:
        yield from ((row, None) for row in rows)
        return
    container = _undone(part, [row for row in rows if row.flip is not None and row.flip.record not in part.lost.undone])
    assembler = Assembler(container, mapped=mapped)
    for row in rows:
        if row.state == "lost":
            yield row, None
            continue
        try:
            yield row, assembler.tensor(container.record(row.key)).detach()
        except IntactError as error:
            yield Judged(row.key, "lost", why=error.message), None
