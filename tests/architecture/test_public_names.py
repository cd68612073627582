"""What `import intact` gives is said once, resolves, and is hidden by nothing."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import intact

SOURCE = Path(intact.__file__).read_text(encoding="utf-8")


def test_public_names_are_sorted() -> None:
    """A sorted list has one place for each name, so that a double one is seen."""
    assert list(intact.__all__) == sorted(set(intact.__all__))


def test_public_names_are_exactly_the_reachable_ones() -> None:
    """A name that works but is not promised will be relied on all the same."""
    assert set(dir(intact)) == {*intact.__all__, "__version__"}
    assert set(intact._HOME) == set(intact.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING are the only ones that an editor follows."""
    seen: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("intact"):
            for alias in node.names:
                assert intact._HOME[alias.name] == node.module, f"{alias.name} is imported from two places"
                seen.add(alias.name)
    assert seen == set(intact.__all__)


@pytest.mark.parametrize("name", intact.__all__)
def test_every_public_name_resolves_and_tells_what_it_is(name: str) -> None:
    """A name imported on first use fails at the user's, not at import."""
    value = getattr(intact, name)
    assert value is getattr(import_module(intact._HOME[name]), name)
    assert value.__doc__


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """`import intact.verify` would turn `intact.verify()` into a module."""
    modules = {module.name for module in pkgutil.iter_modules(intact.__path__)}
    assert not modules & (set(intact.__all__) | {"verify", "save", "load", "audit", "salvage", "convert", "diff", "guard"})


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    """`hasattr(intact, …)` must work for those who support several versions."""
    with pytest.raises(AttributeError, match="no_such_verb"):
        intact.__getattr__("no_such_verb")
