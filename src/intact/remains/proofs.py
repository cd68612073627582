"""Whether the bytes of a tensor are those that were written, by whatever the file kept to tell it.

Digests and checksums decide where there are any. Without them the place of a tensor can be proven and its values cannot, so
signs of damage are looked for instead (see `doubts`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from intact.containers.sealed import SealedRuns
from intact.core.checksum import Checksum
from intact.core.container import Container, Storage, TensorRecord
from intact.core.judged import Flip, Judged, Proof
from intact.core.wording import count
from intact.errors import IntactError
from intact.files.crc32 import crc32, flipped_bit
from intact.files.digests import in_shares
from intact.files.reading import BoundedFile
from intact.remains.doubts import doubt
from intact.remains.parts import Part
from intact.remains.repeats import repeats_in
from intact.verification import changes_of, verify_beside


def judge(part: Part) -> Iterator[Judged]:
    """Yields what can be said of every tensor of a part, in the order of the file, then of those that are not in it any more."""
    container, lost = part.container, part.lost
    if container is not None:
        proofs = _Proofs(part)
        for key in container.describe().tensors:
            if part.expected is None or key in part.expected or key not in lost.keys:
                yield Judged(key, "lost", why=lost.keys[key]) if key in lost.keys else proofs.of(key)
    there = container.describe().tensors if container is not None else {}
    for key in dict.fromkeys((*lost.keys, *sorted(part.expected or ()))):
        if key not in there:
            yield Judged(key, "lost", why=lost.keys.get(key, f"`{part.name}` should hold it, and does not"))


class _Proofs:
    """Everything that one open file kept to tell whether its bytes are right."""

    def __init__(self, part: Part) -> None:
        assert part.container is not None
        self._container: Container = part.container
        self._lost = part.lost
        self._digested, self._changed = _by_digests(part)
        self._sums: dict[str, list[tuple[Checksum, int]]] = {}
        self._main: str = ""
        self._repeats: dict[str, str] | None = None
        self._flip: Flip | None = None
        self._moved = _moved(self._container)
        if not self._digested:
            self._hold_against_checksums()

    def of(self, key: str) -> Judged:
        """Returns what can be said of one tensor whose bytes are there."""
        if key in self._changed:
            return Judged(key, "suspicious", why=self._changed[key])
        if self._digested:
            return Judged(key, "whole", "digest")
        if key in self._lost.doubted:
            return Judged(key, "suspicious", why=self._lost.doubted[key])
        if self._main:
            return Judged(key, "suspicious", why=self._main)
        return self._by_checksum(key)

    def _by_checksum(self, key: str) -> Judged:
        record = self._container.record(key)
        storages = [r.storage for r in (record, *record.parts.values()) if r.storage is not None]
        rows = [row for storage in storages for row in self._sums.get(storage.name, ())]
        wrong = [row for row in rows if row[0].expected and row[0].expected != row[1]]
        if wrong:
            parted = hasattr(self._container, "undo")  # made of several records, and each of them can be put right
            return self._broken(key, *wrong[0], alone=len(wrong) == 1 and (parted or len(rows) == 1) and not wrong[0][0].main)
        if all(storage.name in self._sums for storage in storages) and all(row[0].expected for row in rows):
            return self._whole(key, "crc32")
        return self._by_extent(key, record)

    def _by_extent(self, key: str, record: TensorRecord) -> Judged:
        """The bytes are there; that is all that is sure of them."""
        try:
            why = self._moved or doubt(self._container, record) or self._repeated().get(key, "")
        except IntactError as error:
            return Judged(key, "lost", why=error.message)
        if why:
            return Judged(key, "suspicious", why=why)
        return self._whole(key, "extent")

    def _repeated(self) -> dict[str, str]:
        """Tensors with a block that stands in the file twice; looked for when the first tensor has no checksum."""
        if self._repeats is None:
            self._repeats = repeats_in(self._container)
        return self._repeats

    def _whole(self, key: str, proof: Proof) -> Judged:
        """Nothing is wrong with its bytes; the record that names it may have been restored."""
        if self._flip is None:
            return Judged(key, "whole", proof)
        return Judged(key, "restored", proof, _undone(self._flip), self._flip)

    def _broken(self, key: str, checksum: Checksum, found: int, *, alone: bool) -> Judged:
        """The record of a tensor does not have the CRC-32 that was kept: one bit may explain it."""
        size = len(checksum.content)
        place = flipped_bit(size, checksum.expected ^ found)
        why = f"its record `{checksum.record}` does not have the CRC-32 that was kept"
        record = self._container.record(key)
        if place is None or not alone or self._flip is not None or record.storage is None or doubt(self._container, record):
            return Judged(key, "suspicious", why=why)
        flip = Flip(checksum.record, *place, min(1.0, 8 * size / 2**32))
        return Judged(key, "restored", "crc32", f"{why}; {_undone(flip)}", flip)

    def _hold_against_checksums(self) -> None:
        rows: list[Checksum] = list(getattr(self._container, "checksums", tuple)())
        found: list[tuple[Checksum, int]] = []
        sizes = [len(row.content) for row in rows]
        in_shares(rows, sizes, lambda share: found.extend((row, crc32(row.content)) for row in share), "checksums")
        for row, value in found:
            if row.storage:
                self._sums.setdefault(row.storage, []).append((row, value))
            elif row.main and row.expected and row.expected != value:
                self._doubt_all(row)

    def _doubt_all(self, row: Checksum) -> None:
        """The record that says what the tensors are is itself damaged."""
        place = self._lost.undone.get(row.record)
        if place is None:
            self._main = f"`{row.record}`, which says what the tensors are, does not have the CRC-32 that was kept"
        else:
            self._flip = Flip(row.record, *place, min(1.0, 8 * len(row.content) / 2**32))


def _moved(container: Container) -> str:
    """What speaks against all places at once: bytes behind the last tensor that are no filling were pushed there by others."""
    note = next((note for note in getattr(container, "notes", ()) if note.code == "file/trailing-bytes"), None)
    count_ = note.evidence.get("trailing_bytes") if note is not None else None
    if type(count_) is not int:
        return ""
    with BoundedFile(container.source.path) as file:
        tail = file.tail(count_)
    if len(set(tail)) == 1:
        return ""
    return f"{count_:,} bytes stand behind the last tensor: others may have been added before, and all behind them moved"


def _undone(flip: Flip | None) -> str:
    if flip is None:
        return ""
    odds = f"1 in {round(1 / flip.false_chance):,}" if flip.false_chance < 1 else "1 in 1"
    return (
        f"with bit {flip.bit} of byte {flip.byte:,} of `{flip.record}` flipped back it agrees; "
        f"other damage would look so by chance in {odds} cases"
    )


def _by_digests(part: Part) -> tuple[bool, dict[str, str]]:
    """Returns whether there are digests, and what does not agree with them."""
    container = part.container
    runs: list[SealedRuns] = list(getattr(container, "sealed_runs", tuple)())
    if runs:
        gone = {*part.lost.keys}
        changes = [change for run in runs for change in changes_of(run, gone)]
    else:
        assert container is not None
        try:
            beside = verify_beside(Path(container.source.path), lambda: container)
        except IntactError:
            return False, {}
        if not beside.sealed:
            return False, {}
        changes = list(beside.changes)
    keys: dict[str, list[tuple[int, int]]] = {}
    for change in changes:
        keys.setdefault(change.key, []).append((change.begin, change.end))
    said = {
        key: f"{count(len(ranges), 'chunk')} of it changed since it was sealed, the first at the bytes "
        f"[{min(ranges)[0]:,}, {min(ranges)[1]:,})"
        for key, ranges in keys.items()
    }
    return True, said


class Undone:
    """A container whose damaged storages are handed out with their bits flipped back.

    Args:
        container: The container.
        flips: Name of a storage to the byte and bit.
    """

    def __init__(self, container: Container, flips: dict[str, tuple[int, int]]) -> None:
        self._container = container
        self._flips = flips
        self.source = container.source

    def record(self, key: str) -> TensorRecord:
        """Returns the tensor of a key."""
        return self._container.record(key)

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of a storage, restored where they were damaged."""
        content = self._container.storage_bytes(storage)
        place = self._flips.get(storage.name)
        if place is None:
            return content
        whole = bytearray(content)
        if place[0] < len(whole):
            whole[place[0]] ^= 1 << place[1]
        return memoryview(whole)

    def __getattr__(self, name: str) -> object:
        """All else is the container's."""
        return getattr(self._container, name)


__all__ = ["Undone", "judge"]
