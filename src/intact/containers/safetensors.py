"""The safetensors format: eight bytes of header length, a JSON header, and the tensors one after the other.

The header is checked completely before any of it is handed out, up to the end of the file. Tensors are listed in the order of
their bytes, which is the writer's sorting and not the order of definition. The format carries no checksums; a sealed file has
digests of its own in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import Any

from intact.containers.safetensors_header import HEADER_LIMIT_BYTES, LENGTH_BYTES, METADATA, Span, read_header
from intact.containers.sealed import Seal, SealedRuns, carried_along, claims, read_seal
from intact.containers.sealed_content import Entries, sealed_description
from intact.containers.shown import shown
from intact.core.container import Storage, TensorRecord
from intact.core.description import Description, Extra, Integrity, Source, Writer
from intact.core.lost import Lost
from intact.core.manifest import NAMES, Manifest, in_order
from intact.core.tensor import TensorInfo
from intact.errors import Damaged, IntactError
from intact.files.digests import ALGORITHM
from intact.files.reading import BoundedFile

NAME = "safetensors"


def matches(file: BoundedFile) -> bool:
    """Tells whether a file begins as this format does, whole or not."""
    head = file.head(LENGTH_BYTES + 2)
    if head[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{":
        return False
    if int.from_bytes(head[:LENGTH_BYTES], "little") <= HEADER_LIMIT_BYTES:
        return True
    return head.endswith(b'{"') and not head[:LENGTH_BYTES].isascii()


def open_file(file: BoundedFile) -> SafetensorsContainer:
    """Returns the container, its header checked completely.

    Args:
        file: Stays with the container from here on.

    Raises:
        Damaged: The header contradicts itself (`file/bad-header`) or bytes are missing (`file/truncated`).

    Source:
        safetensors format, section "Format", and `Metadata::validate`; checked against safetensors 0.8.0.
    """
    return SafetensorsContainer(file)


def open_rest(file: BoundedFile, lost: Lost) -> SafetensorsContainer:
    """Returns what is left of a damaged file.

    Args:
        file: The file.
        lost: Takes what is not there any more.

    Raises:
        CannotRead: The header is gone, and with it the names.
    """
    return SafetensorsContainer(file, lost)


class SafetensorsContainer:
    """One opened safetensors file.

    Args:
        file: Stays with the container.
        lost: Takes the tensors that contradict the format or whose bytes are missing; an error tells of them without it.

    Attributes:
        source: Path, size and writer.
        notes: What is irregular without hindering a load: bytes behind the last tensor (`file/trailing-bytes`).
        seal: What was sealed, and the digests of the bytes; None for an ordinary file.
        aliases: Tied keys without bytes of their own, and the key that has them.
    """

    def __init__(self, file: BoundedFile, lost: Lost | None = None) -> None:
        self._file = file
        self._data_begin, self._spans, self._metadata = read_header(file, lost)
        end = max((span.end for span in self._spans.values()), default=0)
        if lost is None:
            _refuse_truncated(file, self._spans, self._data_begin, end)
        else:
            lost.keys.update(_cut_off(file, self._spans, self._data_begin))
        # Where tensors contradict the format, nobody knows where the last one ends.
        self.notes: tuple[IntactError, ...] = () if lost is not None and lost.keys else _trailing(file, self._data_begin + end)
        self.seal = self._opened_seal(lost) if claims(self._metadata) else None
        whole = self.seal is not None and self.seal.manifest.shard is None  # the tied keys of a set stand in its index
        self.aliases: Mapping[str, str] = self.seal.manifest.aliases if self.seal is not None and whole else {}
        self.source = Source(
            path=str(file.path),
            container=NAME,
            size_bytes=file.size_bytes,
            files=(file.path.name,),
            writer=_writer(self._metadata, self.seal),
            integrity=Integrity(ALGORITHM if self.seal else "none"),
        )
        self._records: dict[str, TensorRecord] = {}
        self._entries = Entries(self.seal.manifest.entries if self.seal else {}, str(file.path))
        self._entries.check((*self._spans, *self.aliases))

    @property
    def manifest(self) -> Manifest | None:
        """What the file records beside its tensors; None where it is not sealed."""
        return self.seal.manifest if self.seal else None

    def describe(self) -> Description:
        """Returns its tensors, and its metadata as extras.

        Tensors of a sealed file stand in the order of the state dict that was saved, tied keys included; those of any other in
        the order of their bytes.
        """
        return self._description

    @cached_property
    def _description(self) -> Description:
        tensors = {key: TensorInfo(key, span.dtype, span.shape, source=key) for key, span in self._spans.items()}
        own = NAMES | set(self.aliases) if self.seal else ()
        extras = tuple(
            Extra(f"{METADATA}.{name}", "str", shown(text)) for name, text in self._metadata.items() if name not in own
        )
        plain = Description(tensors=tensors, extras=extras, meaningful_order=False)
        return self._entries.described(sealed_description(plain, self.seal.manifest)) if self.seal else plain

    def objects(self) -> dict[str, Any]:
        """Returns a flat mapping of key to tensor, tied keys and other entries of a sealed state dict included."""
        if self.seal is None:
            return {key: self.record(key) for key in self._spans}
        tensors: dict[str, Any] = {key: self.record(key) for key in in_order(self._spans, self.seal.manifest)}
        return {**tensors, **self._entries.objects}

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor of that key.

        Raises:
            KeyError: There is none.
        """
        kept = self.aliases.get(key, key)
        if kept not in self._records:
            if kept not in self._spans and (within := self._entries.record(kept)) is not None:
                return within
            self._records[kept] = self._made_record(kept, self._spans[kept])
        return self._records[kept]

    def sealed_runs(self) -> tuple[SealedRuns, ...]:
        """Returns the tensors with the digests of their bytes; none where the file is not sealed."""
        if self.seal is None:
            return ()
        ranges = [(key, self._data_begin + span.begin, self._data_begin + span.end) for key, span in self._spans.items()]
        return (SealedRuns(self._file, ranges, self.seal.digests, self.seal.manifest.chunk_bytes),)

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of one tensor."""
        if storage.begin < 0 and (held := self._entries.bytes_of(storage)) is not None:
            return held
        return self._file.view(storage.begin, storage.begin + storage.size_bytes, what=f"`{shown(storage.name)}`")

    def forget(self) -> None:
        """Gives back the memory of pages that were read."""
        self._file.forget()

    def close(self) -> None:
        """Releases the file."""
        self._file.close()

    def _opened_seal(self, lost: Lost | None) -> Seal | None:
        """Returns the seal, held against the header, or notes that it is that of another file."""
        sizes = {key: span.end - span.begin for key, span in self._spans.items()}
        try:
            seal = read_seal(self._file, self._data_begin, sizes, self._metadata)
        except IntactError as error:
            if lost is None:
                raise
            lost.doubted.update((key, error.message) for key in self._spans if key not in lost.keys)
            return None
        if seal is None:
            self.notes += carried_along(self._file, self._metadata)
        return seal

    def _made_record(self, key: str, span: Span) -> TensorRecord:
        storage = Storage(
            name=key,
            dtype=span.dtype,
            size_bytes=span.end - span.begin,
            begin=self._data_begin + span.begin,
        )
        return TensorRecord(storage, span.dtype, span.shape, _stride(span.shape))


def _refuse_truncated(file: BoundedFile, spans: Mapping[str, Span], data_begin: int, end: int) -> None:
    there = file.size_bytes - data_begin
    if end <= there:
        return
    whole = sum(span.end <= there for span in spans.values())
    raise Damaged(
        f"the header declares {end} bytes of tensors, and {there} are there: {end - there} are missing; "
        f"{whole} of {len(spans)} tensors are whole",
        code="file/truncated",
        path=str(file.path),
        evidence={
            "needed_bytes": data_begin + end,
            "size_bytes": file.size_bytes,
            "whole_tensors": whole,
            "tensors": len(spans),
            "first_cut": next(shown(key) for key, span in spans.items() if span.end > there),
        },
        help="fetch or copy the file again, and compare its size with the original",
    )


def _cut_off(file: BoundedFile, spans: Mapping[str, Span], data_begin: int) -> Iterator[tuple[str, str]]:
    there = file.size_bytes - data_begin
    for key, span in spans.items():
        if span.end > there:
            yield key, f"{span.end - max(there, span.begin):,} of its {span.end - span.begin:,} bytes are missing"


def _trailing(file: BoundedFile, end: int) -> tuple[IntactError, ...]:
    extra = file.size_bytes - end
    if extra <= 0:
        return ()
    note = IntactError(
        f"{extra} bytes stand behind the last tensor; every declared tensor is whole",
        code="file/trailing-bytes",
        path=str(file.path),
        evidence={"trailing_bytes": extra, "declared_bytes": end, "size_bytes": file.size_bytes},
        help="other readers refuse such a file: write a copy that ends where the last tensor does",
    )
    return (note,)


def _writer(metadata: Mapping[str, str], seal: Seal | None) -> Writer:
    if seal is not None:
        program, _, version = seal.manifest.writer.partition(" ")
        return Writer(shown(program), shown(version), "the manifest says so")
    form = metadata.get("format")
    return Writer(NAME, "", f"{METADATA} says format: {shown(form)}" if form else "the layout of the file")


def _stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps = accumulate((max(size, 1) for size in shape[:0:-1]), mul, initial=1)
    return tuple(reversed(tuple(steps))) if shape else ()
