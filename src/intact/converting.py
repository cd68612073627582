"""`intact.convert`: a checkpoint of any container written as another one, tensor by tensor.

Values, ties and plain entries are kept; objects of foreign classes become inert mappings that say what they were. Damaged input
is refused: what is wrong would be sealed as if it were right.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from intact.archive_pickling import pickled_objects
from intact.assembly import Assembler
from intact.containers import open_container
from intact.containers.safetensors_header import format_dtypes
from intact.containers.sealed import Entry
from intact.containers.sealed_writing import Row, split, write_file, write_set
from intact.containers.streams import Streams, is_plain
from intact.containers.torch_zip_writing import ArchiveWriter
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description
from intact.core.manifest import VERSION, Manifest
from intact.core.report import Report
from intact.core.wording import count, some
from intact.errors import Damaged, IntactError
from intact.examination import verified_report
from intact.extras import EXTRAS_SUFFIX, extras_text
from intact.files.atomic import write_atomically
from intact.files.progress import working
from intact.files.streaming import Piece
from intact.verification import findings_of, verify_container
from intact.writing import is_part_of

Format = Literal["safetensors", "torch"]
FORMAT_VERSION = b"1"
ARCHIVE_VERSION = b"3\n"


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of a conversion.

    Attributes:
        written: The new checkpoint: a file, or the index of a set.
        tensors: How many keys it has.
        extras: The file with the entries that are no tensors, where they could not go into the checkpoint; "" for none.
        left_out: Keys of tensors that were not asked for.
        report: On the new checkpoint, read back.
    """

    written: str
    tensors: int
    extras: str
    left_out: tuple[str, ...]
    report: Report

    def __str__(self) -> str:
        """Returns what was written, in a few lines."""
        lines = [f"written: {self.written}, {count(self.tensors, 'key')}, read back"]
        if self.extras:
            lines.append(f"written: {self.extras}, the entries that are no tensors")
        if self.left_out:
            lines.append(f"left out: {count(len(self.left_out), 'tensor')} outside of the place asked for: {some(self.left_out)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain data."""
        return {
            **self.report.to_dict(),
            "written": self.written,
            "tensors": self.tensors,
            "extras": self.extras or None,
            "left_out": list(self.left_out),
        }


def convert_checkpoint(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    at: str | None = None,
    format: Format | None = None,  # noqa: A002 - the word of the command
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
) -> Converted:
    """Writes a checkpoint as another one.

    Args:
        path: File, folder or index of any container.
        output: The new file. Written whole or not at all.
        at: Place whose tensors are taken, by their keys within it (`state_dict`); everything where not given.
        format: `safetensors` or `torch`; by the ending of `output` where not given.
        max_shard_bytes: Most bytes of tensors in one file of a safetensors set; None for one file.
        overwrite: Whether an existing `output` may be replaced.

    Raises:
        CannotRead: The input is no checkpoint, or is damaged.
        IntactError: The output exists or cannot hold a tensor, or there is no such place.
    """
    target, origin = Path(output), Path(path)
    chosen: Format = format or ("safetensors" if target.suffix == ".safetensors" else "torch")
    _refuse_target(target, origin, overwrite=overwrite)
    with closing(open_container(path)) as container:
        if is_part_of(target, container.source):
            raise IntactError("the output is a part of the checkpoint", path=str(target), help="name another file")
        _refuse_damaged(container)
        found = container.describe()
        keys, left_out = _chosen_keys(found, at, container.source.path)
        if chosen == "safetensors":
            written, extras = _as_safetensors(container, target, keys, max_shard_bytes, overwrite=overwrite)
        else:
            written, extras = _as_torch(container, target, keys, at, overwrite=overwrite), ""
    return Converted(str(written), len(keys), extras, left_out, verified_report(written))


def _refuse_target(target: Path, origin: Path, *, overwrite: bool) -> None:
    if target.exists() and origin.exists() and target.samefile(origin):
        raise IntactError("the output is the checkpoint itself", path=str(target), help="name another file")
    if os.path.lexists(target) and not overwrite:
        raise IntactError("the output exists already", path=str(target), help="name another file, or say overwrite=True")
    if not target.parent.is_dir():
        raise IntactError("the folder of the output does not exist", path=str(target.parent))


def _refuse_damaged(container: Container) -> None:
    verified = verify_container(container)
    findings = list(findings_of(verified, container.source, getattr(container, "aliases", {}).items()))
    if findings:
        raise Damaged(
            findings[0].headline,
            code=findings[0].code,
            path=container.source.path,
            evidence=dict(findings[0].evidence),
            help="nothing was written; intact salvage gets out the tensors that are whole",
        )


def _chosen_keys(found: Description, at: str | None, path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns new key to key in the file, and the keys that are not taken."""
    if at is None:
        return {key: key for key in found.tensors}, ()
    begins = (at + ".", at + "[")
    chosen = {key[len(at) :].removeprefix("."): key for key in found.tensors if key.startswith(begins)}
    if not chosen:
        raise IntactError(f"the checkpoint has no tensors under {at!r}", path=path, help="`intact inspect` lists the places")
    taken = set(chosen.values())
    return chosen, tuple(key for key in found.tensors if key not in taken)


# --- to safetensors


def _as_safetensors(
    container: Container, target: Path, keys: Mapping[str, str], limit_bytes: int | None, *, overwrite: bool
) -> tuple[Path, str]:
    names = format_dtypes()
    records = {key: container.record(source) for key, source in keys.items()}
    unfit = [key for key, record in records.items() if record.dtype not in names or not _has_elements(record)]
    if unfit:
        first = records[unfit[0]]
        raise IntactError(
            f"safetensors cannot hold {some(unfit)}: {first.layout} {first.dtype}",
            path=str(target),
            help="write a torch file: a name that ends in .pth, or format='torch' (command: --format torch)",
        )
    owner: dict[object, str] = {}
    groups: dict[str, list[str]] = {}
    for key, record in records.items():
        groups.setdefault(owner.setdefault(record.memory, key), []).append(key)
    rows = list(_rows(container, {key: records[key] for key in groups}, names))
    shards = split(rows, limit_bytes) if limit_bytes else [rows]
    manifest = _manifest(container, keys, groups, [row.entry.key for shard in shards for row in shard])
    if len(shards) > 1:
        written = write_set(target, shards, manifest, overwrite=overwrite, durable=True)
    else:
        write_file(target, rows, manifest, overwrite=overwrite, durable=True)
        written = target
    text = extras_text(container.objects())
    if not text:
        return written, ""
    beside = target.with_name(target.name.removesuffix(".safetensors") + EXTRAS_SUFFIX)
    write_atomically(beside, lambda draft: _filled(draft, text), overwrite=overwrite)
    return written, str(beside)


def _filled(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _has_elements(record: TensorRecord) -> bool:
    return record.layout == "strided" and record.storage is not None


def _rows(container: Container, records: Mapping[str, TensorRecord], names: Mapping[str, str]) -> Iterator[Row]:
    """Yields tensors in the order in which they are written: by the width of their elements, so that all are aligned."""
    streams, assembler = Streams(container), Assembler(container, mapped=True)
    widths = {key: _width(record) for key, record in records.items()}
    for key in sorted(records, key=lambda key: -widths[key]):  # stable: otherwise as in the file
        record = records[key]
        size = record.elements * widths[key]
        made = _maker(streams, assembler, record)
        yield Row(Entry(key, names[record.dtype], record.shape, size), Piece(size, made=made))


def _width(record: TensorRecord) -> int:
    from intact.core.dtype import dtype_named

    known = dtype_named(record.dtype)
    return known.itemsize_bytes if known else 1


def _maker(streams: Streams, assembler: Assembler, record: TensorRecord) -> Any:
    if is_plain(record):
        return lambda: streams.content(record)

    def resolved() -> memoryview:
        import torch

        tensor = assembler.tensor(record).detach().resolve_conj().resolve_neg().contiguous()
        return memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data).cast("B")

    return resolved


def _manifest(container: Container, keys: Mapping[str, str], groups: Mapping[str, list[str]], stored: list[str]) -> Manifest:
    place = {key: number for number, key in enumerate(keys)}
    ties = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    order = tuple(place[key] for key in (*stored, *(key for group in ties for key in group[1:])))
    recorded: Manifest | None = getattr(container, "manifest", None)
    whole = len(keys) == len(container.describe().tensors) and recorded is not None
    return Manifest(
        version=VERSION,
        save=secrets.token_hex(16),
        writer=f"intact {_release()}",
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ties=ties,
        order=() if order == tuple(range(len(order))) else order,
        versions=dict(container.describe().metadata) if all(key == source for key, source in keys.items()) else {},
        entries=dict(recorded.entries) if whole and recorded is not None else {},
        architecture=recorded.architecture if whole and recorded is not None else "",
        environment=recorded.environment if recorded is not None else "",
    )


def _release() -> str:
    with suppress(PackageNotFoundError):
        return version("intact")
    return "unknown"


# --- to a torch archive


def _as_torch(container: Container, target: Path, keys: Mapping[str, str], at: str | None, *, overwrite: bool) -> Path:
    content: Any = container.objects() if at is None else {key: container.record(source) for key, source in keys.items()}
    pickle, storages = pickled_objects(container, content)
    write_atomically(target, lambda draft: _write_archive(draft, target.stem, pickle, storages, container), overwrite=overwrite)
    return target


def _write_archive(
    draft: Path, folder: str, pickle: bytes, storages: Mapping[str, Storage | memoryview], container: Container
) -> None:
    forget = getattr(container, "forget", None)
    with draft.open("wb") as file:
        archive = ArchiveWriter(file, folder or "archive")
        archive.add("data.pkl", pickle)
        archive.add(".format_version", FORMAT_VERSION)
        archive.add(".storage_alignment", b"64")
        archive.add("byteorder", b"little")
        with working(
            "writing", sum(s.nbytes if isinstance(s, memoryview) else s.size_bytes for s in storages.values())
        ) as advance:
            for key, storage in storages.items():
                content = storage if isinstance(storage, memoryview) else _little(container.storage_bytes(storage), storage)
                archive.add(f"data/{key}", content)
                advance(len(content))
                if forget is not None and len(content) > 1 << 20:
                    forget()
        archive.add("version", ARCHIVE_VERSION)
        archive.finish()


def _little(content: memoryview, storage: Storage) -> memoryview:
    """Returns the bytes of a storage in the order in which archives are written."""
    if storage.byteorder == "little":
        return content
    import numpy as np

    from intact.core.dtype import dtype_named

    known = dtype_named(storage.dtype)
    unit = (known.itemsize_bytes if known else 1) // (2 if storage.dtype.startswith("complex") else 1)
    return memoryview(np.frombuffer(content, f"u{unit}").byteswap().data).cast("B") if unit > 1 else content
