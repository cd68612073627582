"""The source text of classes and its digest, read once per file and kept per class.

`inspect.getsource` parses the whole file again for every class of it, seconds for a model of forty classes; here a file is parsed
once and gives the lines of all its classes. Classes typed into a prompt have no source, and no digest.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
import textwrap
from functools import lru_cache
from types import FunctionType
from weakref import WeakKeyDictionary

_sources: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_digests: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def source_of(cls: type) -> str:
    """Returns the text of a class without its indentation; "" where there is none."""
    found = _sources.get(cls)
    if found is None:
        _sources[cls] = found = _read(cls)
    return found


def digest_of(cls: type) -> str:
    """Returns `sha256:…` of a class's text; "" where it has none."""
    found = _digests.get(cls)
    if found is None:
        text = source_of(cls)
        _digests[cls] = found = f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}" if text else ""
    return found


def _read(cls: type) -> str:
    functions = [value for value in vars(cls).values() if isinstance(value, FunctionType)]
    wrapped = [getattr(function, "__wrapped__", function) for function in functions]
    codes = [function.__code__ for function in wrapped if isinstance(function, FunctionType)]
    codes = [code for code in codes if function_is_of(cls, code.co_qualname if hasattr(code, "co_qualname") else "")]
    path = codes[0].co_filename if codes else getattr(sys.modules.get(cls.__module__), "__file__", None)
    if not path:
        return ""
    lines = linecache.getlines(path)
    places = _classes(path, len(lines), hash(tuple(lines[:50]))).get(cls.__qualname__, ())
    for begin, end in places:
        if len(places) == 1 or any(begin <= code.co_firstlineno <= end for code in codes):
            return textwrap.dedent("".join(line.rstrip() + "\n" for line in lines[begin - 1 : end]))
    return ""


def function_is_of(cls: type, qualname: str) -> bool:
    """Tells whether a function was written in the body of a class, as far as its name says; older Pythons do not say."""
    return not qualname or qualname.startswith(f"{cls.__qualname__}.")


@lru_cache(maxsize=256)
def _classes(path: str, length: int, beginning: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """First and last lines of every class of a file by qualified name; the other arguments tell its versions apart."""
    del length, beginning
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        _walk(ast.parse("".join(linecache.getlines(path))), "", found)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return {name: tuple(places) for name, places in found.items()}


def _walk(node: ast.AST, prefix: str, found: dict[str, list[tuple[int, int]]]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            begin = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            found.setdefault(prefix + child.name, []).append((begin, child.end_lineno or child.lineno))
            _walk(child, f"{prefix}{child.name}.", found)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            _walk(child, f"{prefix}{child.name}.<locals>.", found)
        elif isinstance(child, ast.stmt):
            _walk(child, prefix, found)
