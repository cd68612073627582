#!/usr/bin/env python3
"""Writes what the commands print now into the console blocks of the pages; blocks that still are right stay as they are.

A shown line `…` stands for any number of lines; a block that is not right any more is written in full, to be shortened by hand.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.docs.blocks import Block, blocks_of, namespace, run_console, run_python, same_output  # noqa: E402


def filled(block: Block) -> list[str]:
    """Returns the lines of a console block with what its commands print."""
    lines: list[str] = []
    for command, shown, printed in run_console(block):
        lines += ["", f"$ {command}"] if lines and command != "echo $?" else [f"$ {command}"]
        lines += shown if same_output(shown, printed) else printed
    return lines


def fill(path: Path) -> bool:
    """Runs a page in a temporary folder and rewrites it; returns whether something changed."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    edits: list[tuple[int, int, list[str]]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with namespace() as names:
            for block in blocks_of(text):
                if block.language == "python" and block.runs:
                    run_python(block, names, str(path))
                elif block.language == "console" and block.runs:
                    edits.append((block.line, len(block.text.splitlines()), filled(block)))
        os.chdir(ROOT)
    for line, count, new in reversed(edits):
        lines[line : line + count] = new
    changed = "\n".join(lines) + "\n"
    if changed != text:
        path.write_text(changed, encoding="utf-8")
    return changed != text


def main(arguments: list[str]) -> int:
    """Fills the named pages, all pages that a person reads where none is named."""
    pages = [Path(name).resolve() for name in arguments] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for path in pages:
        if "console" in {block.language for block in blocks_of(path.read_text(encoding="utf-8"))} and fill(path):
            print(f"filled: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
