"""The head of every text report: what the checkpoint is, how large, who wrote it, and what checksums it carries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from intact.core.description import Description, Integrity, Writer
from intact.core.report import Report
from intact.core.tensor import TensorInfo
from intact.core.wording import count
from intact.renderers.layout import Row
from intact.renderers.words import clean, container_text, name, number_text, sentence, size_text

LABEL_WIDTH = 11
CHECKSUMS = {
    "none": "none kept: a value that changed since it was saved cannot be noticed",
    "crc32": "CRC-32 for every record",
    "sha256": "SHA-256",
    "xxh3-128": "XXH3-128",
    "blake3": "BLAKE3",
}


def head_rows(report: Report) -> Iterator[Row]:
    """Yields what is said before the verdict."""
    source = report.source
    kind = f"{container_text(source.container)}, " if source.container else ""
    files = f" in {count(len(source.files), 'file')}" if len(source.files) > 1 else ""
    yield Row(f"{kind}{size_text(source.size_bytes)}{files}", f"{clean(source.path)}: ", 2, "bold")
    if report.source.container:
        yield labelled("tensors", tensors_text(report.found))
        if source.writer.program:
            yield labelled("written by", writer_text(source.writer))
        yield labelled("checksums", integrity_text(source.integrity))
    if report.target is not None:
        yield labelled("model", f"{name(report.target.class_name)}, {count(report.target.tensors, 'key')}")


def labelled(label: str, text: str) -> Row:
    """Returns one line of the head."""
    label = f"  {label:{LABEL_WIDTH}} "
    return Row(text, label, len(label), "dim")


def distinct(found: Description) -> list[TensorInfo]:
    """Returns the tensors of a description, those that several keys share once."""
    again = {key for group in found.ties for key in group[1:]}
    return [tensor for key, tensor in found.tensors.items() if key not in again]


def tensors_text(found: Description) -> str:
    """Returns the number of tensors and of the values in them, each counted once however many keys it has."""
    if not found.tensors:
        return "none"
    tensors = distinct(found)
    keys = f" under {count(len(found.tensors), 'key')}" if len(tensors) != len(found.tensors) else ""
    values = sum(tensor.elements for tensor in tensors)
    return f"{count(len(tensors), 'tensor')}{keys}, {number_text(values, 'value')}, {bytes_text(tensors)}"


def bytes_text(tensors: Iterable[TensorInfo]) -> str:
    """Returns the size of all elements."""
    return size_text(sum(tensor.size_bytes for tensor in tensors))


def writer_text(writer: Writer) -> str:
    """Returns who wrote it, and what in the file says so."""
    who = " ".join(part for part in (name(writer.program), name(writer.version)) if part)
    return f"{who} ({sentence(writer.evidence)})" if writer.evidence else who


def integrity_text(integrity: Integrity) -> str:
    """Returns what checksums the container carries, and how much was held against them."""
    words = CHECKSUMS.get(integrity.kind, integrity.kind)
    if integrity.kind == "none":
        return words
    return f"{words}, {size_text(integrity.checked_bytes)} checked" if integrity.checked_bytes else f"{words} (not checked here)"
