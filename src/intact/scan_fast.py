"""Ordinary small checkpoints recognised as harmless without being opened: what a scan of many files mostly meets.

A file is passed here only where nothing in it can be anything else: a zip of torch's own layout, every member stored as it is,
every pickle of a protocol without coded names, and every byte sequence that could be a name on a short list. Whatever is the
least unusual is left to the full reader, so this can be wrong in one direction only: it may leave a harmless file to the other.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from struct import Struct
from typing import Final

LARGEST_BYTES = 1 << 20
"""Files up to this size are read whole; larger ones are mapped by the full reader, which does not read their tensors."""
_END = Struct("<4s4H2IH")
_CENTRAL = Struct("<4s6H3I5H2I")
_LOCAL_NAMES = Struct("<2H")
_ENTRIES_LIMIT = 4096

# Every GLOBAL and INST opcode is followed by two lines. Those that begin at any byte are looked at, so none can be missed; names
# that are coded otherwise (on the stack, in the registry of extensions) have opcodes of their own, which no file may have here.
_NAMES: Final = re.compile(rb"(?=[ci]([^\n]*)\n([^\n]*)\n)")
_CODED: Final = re.compile(rb"[\x93\x82-\x84]")
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_ORDINARY: Final = (
    b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter",
    *(b"torch\n%sStorage" % kind for kind in (
        b"Float", b"Double", b"Half", b"BFloat16", b"Long", b"Int", b"Short", b"Char", b"Byte", b"Bool", b"ComplexFloat",
    )),
)  # fmt: skip
# A name may also seem to begin inside one of these, at a letter that is the opcode's: those are no modules that anybody has. The
# second line may then be the number 10 of the memo, which is the byte of a line's end.
_HARMLESS: Final = frozenset({
    line[at:] for name in _ORDINARY for line in (name, name.partition(b"\n")[2] + b"\nq") for at in range(line.index(b"\n"))
    if (at == 0 and line is name) or line[at - 1 : at] in (b"c", b"i")
})  # fmt: skip
_MODULES: Final = frozenset(name.partition(b"\n")[0] for name in _ORDINARY)
_SMALL_RECORDS: Final = (b"version", b"byteorder", b".format_version", b".storage_alignment", b".data/serialization_id")
_PICKLE_BEGIN: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def is_ordinary(data: bytes) -> bool:
    """Tells whether a file is a small checkpoint in which nothing is unusual.

    Args:
        data: The whole file.
    """
    if data[:4] == b"PK\x03\x04":
        return _is_ordinary_zip(data)
    return _is_safetensors(data)


def _is_safetensors(data: bytes) -> bool:
    """A header and numbers: there is nothing in it that could be unpickled."""
    if len(data) < 10 or data[8:9] != b"{":
        return False
    length = int.from_bytes(data[:8], "little")
    return data[8:10] in (b'{"', b"{}") and 8 + length <= len(data) and data[8 + length - 1 : 8 + length] in (b"}", b" ")


def _is_ordinary_zip(data: bytes) -> bool:
    size = len(data)
    if size < _END.size or data[-22:-18] != b"PK\x05\x06":
        return False
    _, disk, first_disk, here, count, length, begin, comment = _END.unpack_from(data, size - 22)
    end = size - 22
    if count == 0xFFFF or begin == 0xFFFFFFFF:
        return False
    if disk or first_disk or here != count or comment or not 0 < count <= _ENTRIES_LIMIT:
        return False
    if begin + length != end and data[end - 20 : end - 16] != b"PK\x06\x07":
        return False
    alike = _ALIKE.get((size, begin))
    if alike is not None and alike.fullmatch(data) is not None:
        return True
    if not _are_ordinary(data, begin, count):
        return False
    _remember(data, begin, count)
    return True


_ALIKE: Final[dict[tuple[int, int], re.Pattern[bytes] | None]] = {}
"""Size and place of the directory to what files like one that was ordinary are; None after the first."""
_ALIKE_LIMIT = 256
_FOLDER: Final = re.compile(rb"[\w.-]+", re.ASCII)


def _remember(data: bytes, begin: int, count: int) -> None:
    """Makes, of the second file of one layout, a pattern for the next: most folders hold many files of one program.

    What the judgement does not depend on may differ: the name of the folder, checksums, what stands between two members, and the
    content of storages as long as it does not begin as a pickle does. All else, the pickle and every other name and place, has to
    be the same byte for byte.
    """
    key = (len(data), begin)
    if key not in _ALIKE:
        if len(_ALIKE) >= _ALIKE_LIMIT:
            _ALIKE.clear()
        _ALIKE[key] = None
    elif _ALIKE[key] is None:
        _ALIKE[key] = _pattern(data, begin, count)


def _pattern(data: bytes, at: int, count: int) -> re.Pattern[bytes]:
    free: list[tuple[int, int, bytes]] = []
    folder, directory = b"", at
    ends: dict[int, int] = {}
    for _ in range(count):
        row = _CENTRAL.unpack_from(data, at)
        size, length, header = row[9], row[10], row[16]
        name = data[at + 46 : at + 46 + length]
        folder, _, rest = name.partition(b"/")
        local_length, local_extra = _LOCAL_NAMES.unpack_from(data, header + 26)
        content = header + 30 + local_length + local_extra
        free += [(at + 16, at + 20, b".{4}"), (header + 14, header + 18, b".{4}")]
        free += [(start, start + len(folder), b"(?P=folder)") for start in (at + 46, header + 30)]
        if rest[:5] == b"data/" or rest == b".data/serialization_id":
            free.append((content, content + size, rb"(?!\x80[\x02-\x05]).{%d}" % size))
        ends[header] = content + size
        at += 46 + length + row[11] + row[12]
    headers = [*sorted(ends), directory]
    free += [(ends[here], there, b".{%d}" % (there - ends[here])) for here, there in pairwise(headers) if there > ends[here]]
    parts, last, named = [], 0, False
    for start, stop, what in sorted(free):
        if start < last or _FOLDER.fullmatch(folder) is None:
            return re.compile(rb"(?!)")  # members that share bytes are not as any writer lays them out
        if what == b"(?P=folder)" and not named:
            what, named = rb"(?P<folder>[\w.-]{%d})" % len(folder), True
        parts += [re.escape(data[last:start]), what]
        last = stop
    return re.compile(b"".join(parts) + re.escape(data[last:]), re.DOTALL | re.ASCII)


def _are_ordinary(data: bytes, at: int, count: int) -> bool:
    names: set[bytes] = set()
    folder = b""
    directory = at
    for _ in range(count):
        if at + 46 > len(data):
            return False
        row = _CENTRAL.unpack_from(data, at)
        stored, size, length, header = row[8], row[9], row[10], row[16]
        if row[0] != b"PK\x01\x02" or row[4] or row[3] & 1 or stored != size or size == 0xFFFFFFFF or header == 0xFFFFFFFF:
            return False
        name = data[at + 46 : at + 46 + length]
        lower = name.lower()
        if lower in names or not name.isascii():
            return False
        names.add(lower)
        folder = folder or name.partition(b"/")[0] + b"/"
        local = header + 30
        if local > directory or data[header : header + 4] != b"PK\x03\x04":
            return False
        local_length, local_extra = _LOCAL_NAMES.unpack_from(data, header + 26)
        if data[local : local + local_length] != name:
            return False
        begin = local + local_length + local_extra
        if begin + size > directory or not _is_ordinary_member(name, folder, data, begin, begin + size):
            return False
        at += 46 + length + row[11] + row[12]
    return folder.lower() + b"data.pkl" in names


def _is_ordinary_member(name: bytes, folder: bytes, data: bytes, begin: int, end: int) -> bool:
    if not name.startswith(folder):
        return False
    rest = name[len(folder) :]
    if rest == b"data.pkl":
        return data[begin : begin + 2] == b"\x80\x02" and end - begin >= 3 and _names_are_harmless(data[begin:end])
    head = data[begin : begin + 2]
    if head in _PICKLE_BEGIN:
        return False
    if rest[:5] == b"data/" and rest[5:].isdigit():
        return True
    return end - begin <= 64 and rest in _SMALL_RECORDS


@lru_cache(maxsize=256)
def _names_are_harmless(pickle: bytes) -> bool:
    """Whether no name in a pickle can be another than those of ordinary tensors; the pickles of one model are often equal."""
    if _CODED.search(pickle) is not None:
        return False
    for match in _NAMES.finditer(pickle):
        module, name = match[1], match[2]
        if _CONTROL.search(module) is not None:
            continue  # no module has such a character in its name
        if _CONTROL.search(name) is not None and module not in _MODULES:
            continue
        if module + b"\n" + name not in _HARMLESS:
            return False
    return True
