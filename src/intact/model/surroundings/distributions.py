"""Which installed distribution a loaded module belongs to, and where that was installed from.

The standard table of the interpreter (`packages_distributions`) reads the list of files of everything that is installed, which
takes longer than a save. Here one module at a time is looked up: the distribution of the same name is tried first, then those
installed in the folder where the module lies, then those used from a folder of their own. Answers are kept for the life of the
process, because what is loaded does not change any more. Nothing is imported.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from intact.core.environment import LONGEST_TEXT, Distribution, Origin
from intact.model.surroundings.worktree import state_of

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""What a distribution may be called. Source: packaging.python.org, "Names and normalization"."""


def module_file(name: str) -> Path | None:
    """Returns the file that a loaded module was read from; None for one that is built in, or not loaded."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if isinstance(file, str) and file else None


def belongs_to_python(name: str) -> bool:
    """Tells whether a module is part of the interpreter."""
    top = name.partition(".")[0]
    return top != "__main__" and (top in sys.stdlib_module_names or top in sys.builtin_module_names)


def distribution_of(module: str) -> Distribution | None:
    """Returns the distribution that a loaded module belongs to; None for the user's own files and for the interpreter's.

    Args:
        module: Its full name; for a package that is not spread over several distributions the first part decides.
    """
    top = module.partition(".")[0]
    return _found(top if module_file(top) else module)


@lru_cache(maxsize=4096)
def _found(module: str) -> Distribution | None:
    file = module_file(module)
    if file is None or belongs_to_python(module):
        return None
    owner = next((entry for entry in _candidates(module, file) if _owns(entry, module, file)), None)
    return _recorded(owner) if owner is not None else _editable(file)


def installed(name: str) -> Distribution | None:
    """Returns the installed distribution of that name, None where there is none; no file is opened by a name that is none."""
    return _installed(name) if _NAME.fullmatch(name) else None


@lru_cache(maxsize=4096)
def _installed(name: str) -> Distribution | None:
    entry = _named(name)
    return _recorded(entry) if entry is not None else None


def _named(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _candidates(module: str, file: Path) -> Iterator[metadata.Distribution]:
    """Distributions that may own a module, the likeliest first."""
    named = _named(module.partition(".")[0])
    if named is not None:
        yield named
    yield from _beside(str(_root(module, file)))


@lru_cache(maxsize=64)
def _beside(folder: str) -> tuple[metadata.Distribution, ...]:
    return tuple(metadata.distributions(path=[folder]))


def _root(module: str, file: Path) -> Path:
    """The folder on the search path that a module was found under."""
    depth = module.count(".") + (file.stem == "__init__")
    return file.parents[min(depth, len(file.parents) - 1)]


def _owns(entry: metadata.Distribution, module: str, file: Path) -> bool:
    """Whether a distribution lists a module's file, or names it as its own top level."""
    try:
        relative = file.relative_to(Path(str(entry.locate_file("")))).as_posix()
    except ValueError:
        return False
    tops = entry.read_text("top_level.txt")
    if tops is not None and "." not in module and module in tops.split():
        return True
    listed = entry.read_text("RECORD")
    if listed is None:
        return tops is None and _same_name(_name(entry), module)
    return listed.startswith(f"{relative},") or f"\n{relative}," in listed


def _same_name(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


@lru_cache(maxsize=1)
def _in_use() -> tuple[tuple[Path, metadata.Distribution], ...]:
    """Distributions that are used from a folder of their own, that is, installed as editable."""
    return tuple((folder, entry) for entry in metadata.distributions() if (folder := _folder_in_use(entry)) is not None)


def _editable(file: Path) -> Distribution | None:
    owners = [(folder, entry) for folder, entry in _in_use() if folder in file.parents and not _installed_below(folder, file)]
    if not owners:
        return None
    _, entry = max(owners, key=lambda owner: len(owner[0].parts))
    return _recorded(entry)


def _installed_below(folder: Path, file: Path) -> bool:
    """Whether a file lies in a virtual environment inside of the folder, where it is not the folder's own."""
    return any((parent / "pyvenv.cfg").exists() for parent in file.parents if folder in parent.parents)


def _folder_in_use(entry: metadata.Distribution) -> Path | None:
    source = _source(entry)
    if not _part(source, "dir_info").get("editable"):
        return None
    return Path(unquote(urlsplit(str(source.get("url", ""))).path))


def _recorded(entry: metadata.Distribution) -> Distribution:
    """The record of a distribution, with the state of the work tree that it is used from."""
    source = _source(entry)
    origin = _origin(source)
    commit, dirty = str(_part(source, "vcs_info").get("commit_id") or ""), None
    folder = _folder_in_use(entry)
    if folder is not None and not commit:
        commit, dirty = state_of((folder,))
    url = _public(str(source.get("url", ""))) if _is_whole(source) else ""
    return Distribution(_name(entry), clipped(str(entry.version)), (), (), origin, url, clipped(commit), dirty)


def _name(entry: metadata.Distribution) -> str:
    return clipped(str(entry.metadata["Name"] or ""))


def _source(entry: metadata.Distribution) -> dict[str, Any]:
    """What the installer noted of an installation that did not come from an index. Source: PEP 610."""
    text = entry.read_text("direct_url.json")
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {"url": ""}
    return found if isinstance(found, dict) else {"url": ""}


def _part(source: dict[str, Any], name: str) -> dict[str, Any]:
    found = source.get(name)
    return found if isinstance(found, dict) else {}


def _origin(source: dict[str, Any]) -> Origin:
    if not source:
        return "index"
    if "vcs_info" in source:
        return "vcs"
    if "archive_info" in source:
        return "archive"
    if "dir_info" in source:
        return "editable" if _part(source, "dir_info").get("editable") else "folder"
    return "unknown"


def _is_whole(source: dict[str, Any]) -> bool:
    """Whether an address alone says what was installed: a whole git repository, or an archive."""
    return "subdirectory" not in source and ("archive_info" in source or _part(source, "vcs_info").get("vcs") == "git")


def _public(url: str) -> str:
    """An address without credentials, "" for one of this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname:
        return ""
    return clipped(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl())


def clipped(text: str) -> str:
    """Returns a text that fits the record."""
    return text.encode("utf-8", "replace").decode()[:LONGEST_TEXT]
