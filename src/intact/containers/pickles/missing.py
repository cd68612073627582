"""Names of a pickle that lead nowhere on this machine."""

from __future__ import annotations

from intact.containers.pickles.dangers import grade
from intact.core.description import ForeignName
from intact.files.modules import is_there


def is_missing(foreign: ForeignName) -> bool:
    """Tells whether a name that does no harm by itself leads to a module that is not here."""
    module = foreign.name.rpartition(".")[0]
    return bool(module) and grade(foreign.name, called=foreign.called) == "unknown" and not _found(module)


def _found(module: str) -> bool:
    """Whether a module, or a class of one, is here: the last parts of a name may be attributes."""
    return is_there(module) or ("." in module and module.rpartition(".")[2][:1].isupper() and _found(module.rpartition(".")[0]))
