"""Files written by `pickle.dump` alone: tensors, modules, state dicts or arrays, without any container of torch around them.

Tensors bring their storages along as small legacy files inside the pickle; in the first releases, as nested lists of numbers.
"""

from __future__ import annotations

import re
from dataclasses import replace

from intact.containers.memory import Held
from intact.containers.pickled import PickledContainer
from intact.containers.pickles import Unpickled, load
from intact.containers.torch_legacy import nested_legacy, writer_of
from intact.core.description import ForeignName, Source
from intact.errors import CannotRead
from intact.files.reading import BoundedFile

_BINARY = re.compile(rb"(?s)\x80[\x02-\x05]")
_TEXT = re.compile(
    rb"(?s)[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n"  # a class, by module and name
    rb"|\((?:[dlt]p?|[(\]})NIFSVKMJUXcio])"  # the begin of a dict, list or tuple
    rb"|[\]})][qp(.a]|[FIL]-?\d[\d.eL+-]*\n[.p]|S(['\"])[^\n]*\1\n|V[^\n]*\n[.p]|[KM].{1,2}\.|N\."
)
_HEAD_BYTES = 256
_ENDS_WITHIN_BYTES = 1 << 16
_PICKLES_LIMIT = 1000


def matches(file: BoundedFile) -> bool:
    """Tells whether a file begins as a pickle of any protocol does."""
    return _begins_as_pickle(file.head(_HEAD_BYTES)) and b"." in file.tail(_ENDS_WITHIN_BYTES)


def _begins_as_pickle(head: bytes) -> bool:
    return _BINARY.match(head) is not None or _TEXT.match(head) is not None


def open_file(file: BoundedFile) -> PickledContainer:
    """Returns the opened pickle.

    Raises:
        Damaged: It ends early, or contradicts itself.
        TooLarge: It would take more memory than its size can justify.
    """
    path = str(file.path)
    memory = Held(path, nested_legacy)
    data = file.view(0, file.size_bytes)
    unpickled = load(data, memory=memory, path=path)
    unpickled = replace(unpickled, foreign=(*unpickled.foreign, *_named_behind(data, unpickled)))
    source = Source(path, "pickle", file.size_bytes, (file.path.name,), writer_of(unpickled))
    return PickledContainer(file, source, unpickled, memory.bytes_of)


def _named_behind(data: memoryview, first: Unpickled) -> tuple[ForeignName, ...]:
    """Returns the names that only later pickles of the same file mention; programs that load one after another run those too."""
    found = {name.name: name for name in first.foreign}
    at = first.end
    for _ in range(_PICKLES_LIMIT):
        if not _begins_as_pickle(bytes(data[at : at + _HEAD_BYTES])):
            break
        try:
            later = load(data, begin=at)
        except CannotRead:
            break
        for name in later.foreign:
            found.setdefault(name.name, replace(name, position=name.position + at))
        at = later.end
    return tuple(found.values())[len(first.foreign) :]
