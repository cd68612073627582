"""The git work tree that code of the user lies in: its commit, read from git's own files, and whether the code differs from it.

Reading the commit needs no git. Whether files differ is asked of git for those files alone, with a limit of time, because the
state of a whole repository may take longer than the save that wants to know it. Where git is not there, or does not answer in
time, it is not known, and that is what is said.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

PATIENCE_S = 0.5
"""Seconds that git may take; it answers in about ten milliseconds for a few files of an ordinary repository."""

MOST_FILES = 200
"""Files that git is asked about at once; a model's own code has a handful."""

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FOLLOWED = 5
"""References that name references; git itself stops there."""


@lru_cache(maxsize=256)
def state_of(paths: tuple[Path, ...]) -> tuple[str, bool | None]:
    """Returns the commit of the work tree that the paths lie in, "" for none, and whether they differ from it.

    Kept for the life of the process: what was loaded is what the files held then.
    """
    root = next((parent for path in paths for parent in (path, *path.parents) if (parent / ".git").exists()), None)
    if root is None:
        return "", None
    commit = _commit(root / ".git")
    return (commit, _differs(root, paths)) if commit else ("", None)


def _commit(marker: Path) -> str:
    """The commit that is checked out; `marker` is the folder `.git`, or the file that says where it is."""
    try:
        folder = marker if marker.is_dir() else (marker.parent / marker.read_text("utf-8")[len("gitdir:") :].strip())
        shared = folder / "commondir"
        common = folder / shared.read_text("utf-8").strip() if shared.exists() else folder
        head = (folder / "HEAD").read_text("utf-8").strip()
        for _ in range(_FOLLOWED):
            if not head.startswith("ref: "):
                break
            head = _reference(folder, common, head[len("ref: ") :])
    except (OSError, UnicodeError):
        return ""
    return head if _COMMIT.fullmatch(head) else ""


def _reference(folder: Path, common: Path, name: str) -> str:
    for place in (folder / name, common / name):
        if place.is_file():
            return place.read_text("utf-8").strip()
    packed = (common / "packed-refs").read_text("utf-8")
    return next((line.split(" ")[0] for line in packed.splitlines() if line.endswith(f" {name}")), "")


def _differs(root: Path, paths: Sequence[Path]) -> bool | None:
    """Whether git sees a difference; None where it does not say.

    A file that git does not keep is a difference where the file itself is asked about. In a folder it is none: there lie
    checkpoints, notes and virtual environments as well.
    """
    git = shutil.which("git")
    if git is None or len(paths) > MOST_FILES:
        return None
    others = ["--untracked-files=no"] if any(path.is_dir() for path in paths) else ["--untracked-files=all", "--ignored"]
    # The work tree is one whose code this process has already run; its helpers are kept out because they may be slow
    asked = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root), "status", "--porcelain", *others]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, and paths after `--`
            [*asked, "--", *map(str, paths)], capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None
