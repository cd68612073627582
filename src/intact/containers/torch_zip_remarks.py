"""What is to be said of a torch archive that was read: a version of the future, records that others read otherwise, byte order.

None of it hinders reading here. Each is told because another program would read something else, or nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from math import frexp, isfinite

from intact.containers.shown import listed, shown_list
from intact.containers.zips import Entry, Zip
from intact.core.remark import Remark
from intact.core.wording import count
from intact.errors import CannotRead, NotACheckpoint

NEWEST_VERSION = 10
"""Highest version record that torch 2.13 reads (`kMaxSupportedFileFormatVersion`)."""
SMALL_RECORD_LIMIT_BYTES = 4096
SAMPLED_STORAGES = 16
SAMPLED_BYTES = 512
_FEWEST_VALUES = 24
_PLAUSIBLE = 40
"""Powers of two up to which a weight is ordinary: between 1e-12 and 1e12."""
_CODES = {"float32": "f", "float64": "d"}
_CHECKPOINT_ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".th", ".pkl")
_NAMED_LIMIT = 10


def remarks_of(archive: Zip, folder: str, storages: Iterable[Entry]) -> tuple[Remark, ...]:
    """Returns what is to be said of an archive.

    Args:
        archive: The archive.
        folder: Where its records stand, with its slash.
        storages: The records of tensors.
    """
    return (*_version(archive, folder), *_packed(list(storages)), *_repeated(archive))


def _version(archive: Zip, folder: str) -> Iterator[Remark]:
    name = f"{folder}version"
    text = bytes(archive.content(archive.entry(name), SMALL_RECORD_LIMIT_BYTES)).strip() if name in archive else b""
    if text.isdigit() and len(text) <= 9 and int(text) > NEWEST_VERSION:
        yield Remark(
            "version/needs-newer-torch",
            f"its format calls itself version {int(text)}, and {NEWEST_VERSION} is the newest that is known",
            evidence={"version": int(text), "newest_known": NEWEST_VERSION},
            cause="it was written by a torch that is newer than this intact, or its version record was changed",
            help="it was read by the rules of the newest known version; hold the values against those of who wrote it",
        )


def _packed(storages: list[Entry]) -> Iterator[Remark]:
    """Records that are compressed: torch maps the compressed bytes as if they were the values."""
    packed = [entry for entry in storages if entry.method]
    if packed:
        yield Remark(
            "file/repacked-archive",
            f"{count(len(packed), 'record')} of tensors {'is' if len(packed) == 1 else 'are'} compressed, as torch never does; "
            "torch.load(mmap=True) takes the compressed bytes for values",
            evidence={"records": shown_list(entry.name for entry in packed), "record_count": len(packed)},
            cause="the archive was unpacked and packed again by a program that compresses",
            help="a plain torch.load reads it; write it anew before anybody maps it: intact convert FILE NEW",
        )


def _repeated(archive: Zip) -> Iterator[Remark]:
    names = list(dict.fromkeys(entry.name for entry in archive.repeated))
    if names:
        yield Remark(
            "file/duplicate-entry",
            f"{listed(names)} {'stands' if len(names) == 1 else 'stand'} in the archive more than once: torch reads the first of "
            "a name, other programs the last",
            evidence={"records": shown_list(names), "record_count": len(names)},
            cause="the archive was appended to, or made to show one content to a check and another to torch",
            help="both were looked at for names that do harm; write a copy that has one of each: intact convert FILE NEW",
        )


BYTE_ORDER = Remark(
    "version/byte-order",
    "its numbers are big-endian, and it does not say so: as they stand they are spread over all powers of two, swapped they are "
    "ordinary",
    "error",
    cause="it was saved on a big-endian machine (s390x, PowerPC) by a torch before 2.1, which recorded no byte order",
    help="intact swaps the bytes; torch reads the numbers as they stand, without a word",
    opened=True,
)


def is_swapped(samples: Iterable[tuple[str, memoryview]]) -> bool:
    """Tells whether numbers only make sense with their bytes in the other order.

    Args:
        samples: Dtype and first bytes of storages.
    """
    asis = swapped = total = 0
    for dtype, content in samples:
        code = _CODES.get(dtype)
        if code is None:
            continue
        values = array(code, bytes(content[: len(content) // array(code).itemsize * array(code).itemsize]))
        turned = array(code, values)
        turned.byteswap()
        for one, other in zip(values, turned, strict=True):
            if one or other:
                total += 1
                asis += _ordinary(one)
                swapped += _ordinary(other)
    return total >= _FEWEST_VALUES and asis * 2 <= total and swapped * 100 >= total * 99


def _ordinary(value: float) -> bool:
    return isfinite(value) and value != 0 and abs(frexp(value)[1]) <= _PLAUSIBLE


def other_archive(names: list[str], path: str) -> CannotRead:
    """Returns what an archive is that has no `data.pkl`, by the names of its members."""
    lasts = {name.rpartition("/")[2].lower() for name in names}
    if "archive_format" in lasts:
        return NotACheckpoint(
            "a program of torch.export that was compiled, without weights of its own",
            code="file/exported-program",
            path=path,
            help="take the checkpoint that it was compiled from; torch._inductor.aoti_load_package runs this one",
        )
    inside = [name for name in names if name.lower().endswith((*_CHECKPOINT_ENDINGS, "data.pkl"))]
    if inside:
        return NotACheckpoint(
            f"an archive around {len(inside)} files that may be checkpoints: {', '.join(inside[:3])}",
            code="file/wrapped-archive",
            path=path,
            evidence={"members": inside[:_NAMED_LIMIT], "member_count": len(inside)},
            help="unpack the archive and name the file inside",
        )
    return NotACheckpoint(
        f"a zip archive of {len(names):,} files without data.pkl, which every checkpoint of torch has",
        code="file/not-a-checkpoint",
        path=path,
        evidence={"members": names[:_NAMED_LIMIT]},
        help="unpack the archive and look for the checkpoint among its files",
    )
