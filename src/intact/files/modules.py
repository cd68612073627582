"""Whether a module, and a name in it, could be imported here, found out without importing anything."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from itertools import islice
from pathlib import Path

PARTS_LIMIT = 16
"""Parts of a module's name that are looked for; the deepest real ones have seven."""

SOURCE_LIMIT = 4 << 20
"""Bytes of source above which a module is taken to hold every name."""

FILES_LIMIT = 20_000
"""Files of a package that are looked at, by name alone, when a class is searched in it."""

READ_LIMIT = 500
"""Files of like names that are read for that."""

_ANYTHING = re.compile(rb"import\s*\(?\s*\*|\b__getattr__\b|\bglobals\s*\(|\bsetattr\s*\(|\bvars\s*\(|\b__dict__\b|\bexec\s*\(")
"""What makes names that do not stand in the source."""


@lru_cache(maxsize=4096)
def is_there(module: str) -> bool:
    """Tells whether a module is imported, built in, or stands where Python looks for it.

    Args:
        module: Its full name.
    """
    return module in sys.modules or module in sys.builtin_module_names or _spec(module) is not None


def holds(module: str, name: str, *, as_module: bool = False) -> bool:
    """Tells whether a module has a name, as far as that can be told without running it: in doubt it has.

    Args:
        module: Full name of a module that is there.
        name: A class or function.
        as_module: Whether it has to be a module itself, which no `__getattr__` can make.
    """
    if not name.isidentifier() or is_there(f"{module}.{name}"):
        return True
    if module in sys.modules:
        names = vars(sys.modules[module])
        return name in names or ("__getattr__" in names and not as_module)
    spec = _spec(module)
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        return False  # a folder without `__init__.py` has only what lies in it
    return spec is None or _stands_in(spec.origin, name, as_module)


def look_alikes(module: str, name: str) -> list[str]:
    """Returns modules of the same package, in files of a like name, whose source defines a class or function of this name.

    Args:
        module: Full name of a module that need not be there.
        name: The class or function.
    """
    top, _, rest = module.partition(".")
    spec = _spec(top)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return []  # any folder of the user's may be a package without a file of its own
    stems = {part.strip("_") for part in rest.split(".")[:PARTS_LIMIT]} - {"", "init"}
    word = re.escape(name.encode("utf-8", "surrogatepass"))
    defined = re.compile(rb"^(?:class|def)\s+" + word + rb"\b", re.MULTILINE)
    found = set()
    for folder in list(spec.submodule_search_locations)[:4]:
        sources = islice(_sources(folder), FILES_LIMIT)
        alike = (path for path in sources if stems & {part.strip("_") for part in path.relative_to(folder).with_suffix("").parts})
        for path in islice(alike, READ_LIMIT):
            if defined.search(_source(path) or b""):
                parts = (top, *path.relative_to(folder).with_suffix("").parts)
                found.add(".".join(part for part in parts if part != "__init__"))
    return sorted(found - {module})[:5]


def _spec(module: str) -> ModuleSpec | None:
    parts, path, spec = module.split("."), None, None
    if len(parts) > PARTS_LIMIT:
        return None
    for count in range(1, len(parts) + 1):
        try:
            spec = PathFinder.find_spec(".".join(parts[:count]), path)
        except (ImportError, OSError, ValueError):
            return None
        if spec is None:
            return None
        if count < len(parts):
            if spec.submodule_search_locations is None:
                return None
            path = list(spec.submodule_search_locations)
    return spec


@lru_cache(maxsize=4096)
def _stands_in(origin: str | None, name: str, as_module: bool) -> bool:
    """Whether the source has the name as a word, or makes names in ways that cannot be followed, or is no source."""
    if not origin or not origin.endswith(".py"):
        return True
    source = _source(Path(origin))
    made = not as_module and source is not None and bool(_ANYTHING.search(source))
    return source is None or made or bool(re.search(rb"\b" + re.escape(name.encode()) + rb"\b", source))


def _source(path: Path) -> bytes | None:
    """Text of a module; None where it cannot be read or is too long to be looked through."""
    try:
        return path.read_bytes() if path.stat().st_size <= SOURCE_LIMIT else None
    except OSError:
        return None


def _sources(folder: str) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(here, name) for name in sorted(names) if name.endswith(".py"))
