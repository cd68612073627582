#!/usr/bin/env python3
"""Runs everything that has to be right before a merge, all of it even where an earlier part fails, and sums up at the end.

`python tools/check.py` runs all parts; `python tools/check.py lint types` runs the named ones.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = ("src", "tests", "tools", "benchmarks")


def parts(here: Path) -> dict[str, list[str]]:
    """Returns the commands by name; `here` is the folder of the running interpreter's scripts."""
    return {
        "format": [str(here / "ruff"), "format", "--check", *OURS],
        "lint": [str(here / "ruff"), "check", *OURS],
        "types": [str(here / "mypy"), "--strict"],
        "layers": [str(here / "lint-imports")],
        "tests": [sys.executable, "-m", "pytest", "--numprocesses", "auto", "--dist", "worksteal"],
    }


def run(name: str, command: list[str]) -> tuple[int, float]:
    """Runs one part, its output passed through; returns its exit status and the seconds it took."""
    print(f"\n== {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
    begin = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    return status, time.monotonic() - begin


def main(wanted: list[str]) -> int:
    """Runs the wanted parts, all of them where none is named; returns 0 only where every part passed."""
    known = parts(Path(sys.executable).parent)
    if unknown := [name for name in wanted if name not in known]:
        print(f"no part named {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    results = {name: run(name, known[name]) for name in wanted or known}
    print("\n== summary")
    for name, (status, seconds) in results.items():
        print(f"{'ok  ' if status == 0 else 'FAIL'}  {name:8} {seconds:6.1f} s")
    return int(any(status for status, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
