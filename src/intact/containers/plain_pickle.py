"""Files written by `pickle.dump` alone: tensors, modules, state dicts or arrays, without any container of torch around them.

Tensors bring their storages along as small legacy files inside the pickle; in the first releases, as nested lists of numbers.
"""

from __future__ import annotations

import re
from dataclasses import replace

from intact.containers.array_tensors import with_tensors
from intact.containers.memory import Held
from intact.containers.pickled import PickledContainer
from intact.containers.pickles import Unpickled, load, merged, names_in
from intact.containers.pickles.joblib import WRAPPER
from intact.containers.torch_legacy import nested_legacy, writer_of
from intact.core.description import Source
from intact.core.remark import Remark
from intact.files.reading import BoundedFile

_BINARY = re.compile(rb"(?s)\x80[\x02-\x05]")
_TEXT = re.compile(
    rb"(?s)[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n"  # a class, by module and name
    rb"|\((?:[dlt]p?|[(\]})NIFSVKMJUXcio])"  # the begin of a dict, list or tuple
    rb"|[\]})][qp(.a]|[FIL]-?\d[\d.eL+-]*\n[.p]|S(['\"])[^\n]*\1\n|V[^\n]*\n[.p]|[KM].{1,2}\.|N\."
)
_HEAD_BYTES = 256
_ENDS_WITHIN_BYTES = 1 << 16


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
    behind = names_in(data, "a pickle behind the first one", unpickled.end)
    unpickled = replace(unpickled, foreign=merged(unpickled.foreign, behind))
    source = Source(path, "pickle", file.size_bytes, (file.path.name,), writer_of(unpickled))
    return PickledContainer(
        file, source, unpickled, memory.bytes_of, remarks=(_remark(unpickled),), as_described=lambda v: with_tensors(v, memory)
    )


def _remark(unpickled: Unpickled) -> Remark:
    arrays = any(name.startswith("numpy.") for name in unpickled.known)
    held = "numpy arrays" if arrays else "its objects"
    program = "joblib.dump" if any(WRAPPER.fullmatch(name.name) for name in unpickled.foreign) else "pickle.dump"
    return Remark(
        "file/plain-pickle",
        f"it was written by {program} and not by torch.save: a plain pickle around {held}",
        "error",
        evidence={"protocol": unpickled.protocol, "arrays": arrays, "program": program},
        cause="torch.load looks for the magic number that torch.save writes, and says that it is invalid or missing",
        help="intact reads it as it is, and runs nothing of it; save it again with intact.save once it is loaded",
        opened=True,
    )
