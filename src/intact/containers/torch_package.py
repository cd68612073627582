"""Archives of `torch.package`: sources of Python, and pickles that share the storages in `.data/`.

The classes that the pickles name stand beside them as source; none of it is read or run. One pickle is the checkpoint; several
are one mapping, by the names under which they were saved.

Source:
    torch 2.13 `package/package_exporter.py` (`save_pickle`, `_persistent_id`) and `package/package_importer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from intact.containers.pickles import Unpickled, merged
from intact.containers.zips import Zip
from intact.core.remark import Remark

NAME = "torch-package"
PICKLES_LIMIT = 1000

REMARK = Remark(
    "file/foreign-format",
    "it is an archive of torch.package, sources and pickles, which torch.load does not read",
    "error",
    cause="it was written by torch.package.PackageExporter, whose PackageImporter runs the sources in it",
    help="intact reads the tensors, and runs nothing of it; save the state dict alone next time",
    opened=True,
)


def is_package(archive: Zip, folder: str) -> bool:
    """Tells whether an archive is one of torch.package."""
    return f"{folder}.data/extern_modules" in archive and f"{folder}data.pkl" not in archive


def pickles_in(archive: Zip, folder: str) -> list[str]:
    """Returns the names of its pickles, in the order in which they were written."""
    names = (entry.name for entry in archive.entries.values())
    inside = (name for name in names if name.startswith(folder) and not name.startswith(f"{folder}.data/"))
    return [name for name in inside if name.lower().endswith((".pkl", ".pickle"))][:PICKLES_LIMIT]


def texts_in(archive: Zip, folder: str) -> list[str]:
    """Returns the names of members that are text, which can read like a pickle of protocol 0."""
    names = [entry.name for entry in archive.entries.values()]
    return [name for name in names if name.endswith(".py") or name == f"{folder}.data/extern_modules"]


def together(read: Mapping[str, Unpickled]) -> Unpickled:
    """Returns what several pickles hold as one mapping; what one holds as it is.

    Args:
        read: Name within the package to what was read.
    """
    parts = list(read.values())
    if len(parts) == 1:
        return parts[0]
    foreign = merged((), (replace(name, place=member) for member, part in read.items() for name in part.foreign))
    return Unpickled(
        value={name: part.value for name, part in read.items()},
        foreign=foreign,
        known=frozenset().union(*(part.known for part in parts)),
        protocol=max((part.protocol for part in parts), default=0),
        problems=tuple(problem for part in parts for problem in part.problems),
    )
