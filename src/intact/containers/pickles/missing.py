"""Names of a pickle that lead nowhere on this machine."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

from intact.containers.pickles.dangers import grade
from intact.core.description import ForeignName
from intact.files.modules import holds, is_there


def is_missing(foreign: ForeignName) -> bool:
    """Tells whether a name that does no harm by itself leads to a package that is not here."""
    module = foreign.name.rpartition(".")[0]
    return (
        bool(module)
        and grade(foreign.name, called=foreign.called) == "unknown"
        and not is_there(_today(module).partition(".")[0])
    )


def has_moved(name: str) -> bool:
    """Tells whether the package that a name stands in is here, and the name's module, or the name in it, is not.

    Args:
        name: `module.attribute`, as the pickle writes it.
    """
    module, _, attribute = name.rpartition(".")
    module, attribute = NAME_MAPPING.get((module, attribute), (_today(module), attribute))
    parts = [*module.split("."), attribute]
    known = next((count for count in range(len(parts) - 1, 0, -1) if is_there(".".join(parts[:count]))), 0)
    if not known or parts[0] == "__main__":
        return False
    inner = parts[known].strip("_")[:1].isupper()  # classes within classes have names of several parts
    as_module = known < len(parts) - 1 and not inner
    return not holds(".".join(parts[:known]), parts[known], as_module=as_module)


def _today(module: str) -> str:
    """What Python 3 calls a module of Python 2."""
    return str(IMPORT_MAPPING.get(module, module))
