"""One opened checkpoint whose objects were pickled, whatever the container around the pickle.

A format reads its own layout and hands over the objects and a way to the bytes; all else is the same for all of them. The objects
are walked when somebody asks for a description, or at once where a tensor reaches outside its storage, to name it by its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from intact.containers.distributed import Pieces, is_spread
from intact.containers.objects import Walked, walk
from intact.containers.pickles import Unpickled
from intact.containers.shown import listed, shown
from intact.core.checksum import Checksum
from intact.core.container import Storage, TensorRecord
from intact.core.description import Description, Source
from intact.core.lost import Lost
from intact.core.remark import Remark
from intact.core.wording import count
from intact.errors import Damaged
from intact.files.reading import BoundedFile


@dataclass(frozen=True, slots=True)
class Beside:
    """Files of the same run beside a file that holds parts of tensors, which together still lack some.

    Attributes:
        names: All of them, the file itself among them.
        key: A tensor that they do not hold whole.
        held: How many of its values they hold.
        elements: How many it has.
    """

    names: tuple[str, ...]
    key: str
    held: int
    elements: int


class PickledContainer:
    """A checkpoint of pickled objects.

    Args:
        file: The open file; closed with this.
        source: Path, format, writer and checksums.
        unpickled: The objects.
        bytes_of: All bytes of a storage.
        checksums: The checksums that the format keeps; none for most.
        remarks: What is to be said of the format or its writer.
        as_described: Makes of the objects what a description speaks of, such as tensors of arrays.
        lost: Takes what cannot be had, where the rest of a damaged file is wanted.

    Raises:
        Damaged: A tensor reaches outside its storage (`file/storage-bounds`), and `lost` was not given.
    """

    def __init__(
        self,
        file: BoundedFile,
        source: Source,
        unpickled: Unpickled,
        bytes_of: Callable[[Storage], memoryview],
        checksums: Callable[[], Iterable[Checksum]] = tuple,
        remarks: tuple[Remark, ...] = (),
        as_described: Callable[[Any], Any] = lambda value: value,
        lost: Lost | None = None,
    ) -> None:
        self._file = file
        self._source = source
        self._unpickled = unpickled
        self._bytes_of = bytes_of
        self._checksums = checksums
        self.own_remarks = (*remarks, *_of_texts(unpickled))
        self._as_described = as_described
        self.beside: Beside | None = None
        self._walked: Walked | None = None
        if unpickled.problems:
            if lost is None:
                raise self._outside()
            lost.keys.update(self._named_problems())
        if lost is not None and lost.storages:
            lost.keys.update(self._without_bytes(lost.storages))

    @property
    def source(self) -> Source:
        """Path, format, size, writer and checksums."""
        return self._source

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What is to be said of the format, its writer, and of tensors of which only a part is here."""
        pieces = self.pieces
        return (*self.own_remarks, _of_parts(pieces, self.beside)) if pieces else self.own_remarks

    @property
    def pieces(self) -> Mapping[str, Pieces]:
        """By path, tensors of which a part is here; only a file that names their classes is walked for it."""
        return self._walk().pieces if any(is_spread(name.name) for name in self._unpickled.foreign) else {}

    @property
    def piece_paths(self) -> Mapping[int, str]:
        """Identity of the records of such parts to their path."""
        return self._walk().piece_paths

    def describe(self) -> Description:
        """Returns what the file holds.

        Raises:
            TooLarge: The objects share so many parts that naming every tensor would take forever (`safety/archive-bomb`).
        """
        return self._walk().description

    def objects(self) -> Any:
        """Returns the nesting of plain objects with `TensorRecord` and `Foreign` leaves; not to be changed."""
        return self._unpickled.value

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor that `describe` lists under a key.

        Raises:
            KeyError: It lists none.
        """
        return self._walk().records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage, in the file's byte order.

        Raises:
            Damaged: They are not all there.
        """
        return self._bytes_of(storage)

    def checksums(self) -> Iterable[Checksum]:
        """Returns the checksums that the file keeps of its parts, each beside the bytes it is of.

        Raises:
            Damaged: The bytes are not there.
        """
        self._file.expect_reading()
        return self._checksums()

    def forget(self) -> None:
        """Gives back the memory of pages that were read."""
        self._file.forget()

    def close(self) -> None:
        """Releases the file; views handed out before stay valid."""
        self._file.close()

    def _walk(self) -> Walked:
        if self._walked is None:
            walked = walk(self._as_described(self._unpickled.value), self._unpickled.foreign, self._source.path)
            self._walked = replace(walked, description=replace(walked.description, known=self._unpickled.known))
        return self._walked

    def _named_problems(self) -> list[tuple[str, str]]:
        keys = {id(record): key for key, record in self._walk().records.items()}
        return [(keys.get(id(record), ""), why) for record, why in self._unpickled.problems]

    def _without_bytes(self, storages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yields the key of each tensor whose storage, or that of a part of it, is among those given, and why."""
        for key, record in self._walk().records.items():
            for part in (record, *record.parts.values()):
                if part.storage is not None and part.storage.name in storages:
                    yield key, storages[part.storage.name]

    def _outside(self) -> Damaged:
        named = self._named_problems()
        key, why = next((row for row in named if row[0]), named[0])
        about = f"tensor {key!r}" if key else "a tensor"
        return Damaged(
            f"{about} reaches outside its storage: {why}",
            code="file/storage-bounds",
            path=self._source.path,
            evidence={"keys": [key for key, _ in named if key], "tensors": len(named)},
            help="the file was changed after it was written, or made to read foreign memory; fetch it again from its source",
        )


def _of_parts(pieces: Mapping[str, Pieces], beside: Beside | None) -> Remark:
    """What is to be said of a file that one process of several wrote."""
    path, first = next(iter(pieces.items()))
    key, here, whole = path, sum(piece.record.elements for piece in first.held), prod(first.shape)
    what = "it holds"
    if beside is not None:
        key, here, whole = beside.key, beside.held, beside.elements
        what = f"{listed(beside.names)} hold"
    return Remark(
        "file/missing-shard",
        f"{what} the parts of single processes: of {count(len(pieces), 'tensor')} other files have the rest, as of "
        f"`{shown(key)}`, {here:,} of {whole:,} values",
        "error",
        tuple(pieces),
        {"tensors": len(pieces), "key": key, "values": here, "elements": whole, "files": list(beside.names if beside else ())},
        "every process of the run saved its own state dict (FSDP, tensor parallel)",
        "put the files of all processes into one folder and name it, or one of them: intact puts the parts together",
    )


def _of_texts(unpickled: Unpickled) -> Iterator[Remark]:
    """Strings of Python 2 that Python 3 cannot decode, at which torch stops."""
    number, first = unpickled.bytes_texts
    if number:
        yield Remark(
            "version/python2-strings",
            f"{count(number, 'string')} of Python 2 in it {'is' if number == 1 else 'are'} no text in UTF-8, such as {first!r}",
            "error",
            evidence={"strings": number, "first": first.hex()},
            cause="Python 2 wrote it; torch.load decodes such strings as UTF-8 and ends with UnicodeDecodeError",
            help="intact keeps them as bytes, which intact.read gives; the tensors are read as they are",
            opened=True,
        )
