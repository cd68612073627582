"""The fenced blocks of a Markdown page, and how each kind is run.

Python blocks of a page share one namespace, which is a real module so that classes defined in a page can be pickled.
Console blocks hold `$ intact …` lines, each followed by what it prints; a line `…` stands for any number of lines.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FENCE = re.compile(r"^(`{3,})([\w+-]*)[ \t]*(.*)$")
OPTION = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        language: First word of the info string (`python`, `console`).
        options: The rest of it (`exec="false" reason="…"`, `file="net.py"`).
        text: The lines between the fences.
        line: Number of the line of the opening fence, from 1.
        heading: Text of the nearest heading above it.
    """

    language: str
    options: dict[str, str]
    text: str
    line: int
    heading: str

    @property
    def runs(self) -> bool:
        """Whether it is to be run; one that is not says why."""
        return self.options.get("exec") != "false"


def blocks_of(text: str) -> list[Block]:
    """Returns the fenced blocks of a Markdown text, in order."""
    found: list[Block] = []
    heading = fence = ""
    begin, head, held = 0, ("", ""), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        opened = FENCE.match(line)
        if fence:
            if line.rstrip() == fence:
                found.append(Block(head[0], dict(OPTION.findall(head[1])), "\n".join(held) + "\n", begin, heading))
                fence = ""
            else:
                held.append(line)
        elif opened:
            fence, head, begin, held = opened[1], (opened[2], opened[3]), number, []
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    assert not fence, f"line {begin}: a block that does not end"
    return found


@contextmanager
def namespace(name: str = "page") -> Iterator[dict[str, Any]]:
    """Gives the namespace of a page, importable as a module of that name as long as the page runs."""
    module = ModuleType(name)
    before = set(sys.modules)
    sys.modules[name] = module
    sys.path.insert(0, os.getcwd())
    try:
        yield module.__dict__
    finally:
        sys.path.pop(0)
        here = Path(os.getcwd())
        for new in set(sys.modules) - before:
            file = getattr(sys.modules[new], "__file__", None)
            if new == name or (file and here in Path(file).parents):
                del sys.modules[new]


def run_python(block: Block, names: dict[str, Any], page: str) -> None:
    """Runs a Python block; one with `file="…"` is also written to that file."""
    if file := block.options.get("file"):
        Path(file).write_text(block.text, encoding="utf-8")
    source = "\n" * block.line + block.text  # so that a traceback names the line of the page
    exec(compile(source, page, "exec"), names)


def run_console(block: Block) -> list[tuple[str, list[str], list[str]]]:
    """Runs the commands of a console block; returns each with the lines it shows and the lines it printed."""
    results: list[tuple[str, list[str], list[str]]] = []
    status = 0
    for line in block.text.splitlines():
        if line.startswith("$ "):
            printed, status = _printed(line[2:], status)
            results.append((line[2:], [], printed))
        else:
            assert results, f"line {block.line}: a console block begins with a command"
            results[-1][1].append(line.rstrip())
    return [(command, _trimmed(shown), _trimmed(printed)) for command, shown, printed in results]


def _printed(command: str, status: int) -> tuple[list[str], int]:
    if command == "echo $?":
        return [str(status)], 0
    words = shlex.split(command)
    assert words[0] == "intact", f"only `intact` is run here, not {command!r}"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-m", "intact", *words[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, check=False, env=environment,
    )  # fmt: skip
    return [line.rstrip() for line in done.stdout.splitlines()], done.returncode


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).strip("\n").splitlines()


def same_output(shown: list[str], printed: list[str]) -> bool:
    """Returns whether the shown lines are what was printed, where a shown `…` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + r"\n" for line in shown)
    return re.fullmatch(pattern, "".join(line + "\n" for line in printed)) is not None
