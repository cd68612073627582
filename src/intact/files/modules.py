"""Whether a module could be imported here, found out without importing anything."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.machinery import PathFinder

PARTS_LIMIT = 16
"""Parts of a module's name that are looked for; the deepest real ones have seven."""


@lru_cache(maxsize=4096)
def is_there(module: str) -> bool:
    """Tells whether a module is imported, built in, or stands where Python looks for it.

    Args:
        module: Its full name.
    """
    if module in sys.modules or module in sys.builtin_module_names:
        return True
    parts, path = module.split(".")[:PARTS_LIMIT], None
    for count in range(1, len(parts) + 1):
        try:
            spec = PathFinder.find_spec(".".join(parts[:count]), path)
        except (ImportError, OSError, ValueError):
            return False
        if spec is None:
            return False
        if count < len(parts):
            if spec.submodule_search_locations is None:
                return False
            path = list(spec.submodule_search_locations)
    return True
