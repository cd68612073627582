"""Files and functions stay small enough to be read, and no error is swallowed unnamed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "intact"
MODULES = sorted(SRC.rglob("*.py"))
MODULE_LIMIT_LINES = 400
FUNCTION_LIMIT_LINES = 60


def names(path: Path) -> str:
    """Returns the path as the test's name."""
    return str(path.relative_to(SRC))


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    """In a longer one there is a second noun that wants its own file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LIMIT_LINES


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_a_function_has_at_most_60_lines_and_excepts_by_name(path: Path) -> None:
    """A longer function does two things; a bare except hides a third."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LIMIT_LINES:
                wrong.append(f"{node.name} has {lines} lines")
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"line {node.lineno}: bare except")
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_a_module_says_what_it_alone_knows(path: Path) -> None:
    """The first sentence of a file decides whether a reader has to go on."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert len(docstring.split()) >= 4, f"{docstring!r} says nothing"
