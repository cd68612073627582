"""Modules and names in them are found without importing anything."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from intact.files.modules import holds, is_there, look_alikes

PACKAGE = {
    "__init__.py": "from .layers import Conv\n",
    "layers.py": "class Conv:\n    pass\n\n\ndef build():\n    raise RuntimeError\n",
    "_forest.py": "class Forest:\n    pass\n",
    "lazy.py": "def __getattr__(name):\n    raise AttributeError(name)\n",
    "star.py": "from .layers import *\n",
    "deep/__init__.py": "",
    "deep/layers.py": "class Other:\n    pass\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yields the name of a package that nobody has imported, and that may not be."""
    name = "package_of_" + "".join(letter for letter in tmp_path.name if letter.isalnum())
    for inside, text in PACKAGE.items():
        path = tmp_path / name / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    assert name not in sys.modules


@pytest.mark.parametrize("name", ["", ".layers", ".deep", ".deep.layers"])
def test_modules_that_stand_on_the_path_are_there(package: str, name: str) -> None:
    """Packages and plain modules, at any depth."""
    assert is_there(package + name)


@pytest.mark.parametrize(
    "name", [".gone", ".layers.Conv", ".layers.deeper", ".deep.gone", "x", ".", "..layers", ".\0", ".\udc80", ".a" * 40]
)
def test_what_is_no_module_is_not_there(package: str, name: str) -> None:
    """Names come from files, and may be anything."""
    assert not is_there(package + name)


@pytest.mark.parametrize(
    ("module", "name"),
    [("", "Conv"), ("", "layers"), (".layers", "Conv"), (".layers", "build"), (".lazy", "Any"), (".star", "Any")],
)
def test_names_that_stand_in_the_source_or_may_be_made_are_held(package: str, module: str, name: str) -> None:
    """In doubt a module has a name: nobody is told that something is gone which is there."""
    assert holds(package + module, name)


@pytest.mark.parametrize(("module", "name"), [("", "Con"), (".layers", "Forest"), (".deep", "Other"), (".deep.layers", "Conv")])
def test_names_that_stand_nowhere_in_the_source_are_not_held(package: str, module: str, name: str) -> None:
    """A word of the source has to be the whole name."""
    assert not holds(package + module, name)


def test_a_source_too_long_to_look_through_holds_everything(package: str, tmp_path: Path) -> None:
    """The time that a name costs is bounded."""
    (tmp_path / package / "long.py").write_text("#" * (5 << 20), "utf-8")
    assert holds(f"{package}.long", "Anything")


def test_names_of_an_imported_module_are_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs put names into modules that no source shows, and take them out."""
    module = types.ModuleType("made_up")
    module.here = 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    assert holds("made_up", "here")
    assert not holds("made_up", "gone")


@pytest.mark.parametrize("name", ["\udc80", "a b", ""])
def test_what_is_no_name_is_never_called_gone(package: str, name: str) -> None:
    """What cannot be a class is another cause."""
    assert holds(f"{package}.layers", name)


@pytest.mark.parametrize(
    ("module", "name", "places"),
    [
        (".forest", "Forest", ["._forest"]),
        (".old.layers", "Conv", [".layers"]),
        (".old.layers", "Other", [".deep.layers"]),
        (".layers", "build", []),
        (".elsewhere", "Conv", []),
        ("", "Conv", []),
    ],
)
def test_a_name_that_moved_is_found_in_files_of_a_like_name(package: str, module: str, name: str, places: list[str]) -> None:
    """The module that the file names is not offered again."""
    assert look_alikes(package + module, name) == [package + place for place in places]


def test_a_package_that_is_not_here_has_no_look_alikes() -> None:
    """Nothing is searched for it."""
    assert look_alikes("surely_not_installed.layers", "Conv") == []


def test_a_folder_without_a_file_of_its_own_holds_only_what_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any folder `models` of the user's is a package to Python; it is not searched, however large."""
    folder = "folder_of_" + "".join(letter for letter in tmp_path.name if letter.isalnum())
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "layers.py").write_text("class Conv:\n    pass\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_there(folder)
    assert holds(folder, "layers", as_module=True)
    assert not holds(folder, "yolo", as_module=True)
    assert not holds(folder, "Conv")
    assert look_alikes(f"{folder}.old.layers", "Conv") == []


def test_names_that_no_text_can_be_are_not_searched_for_in_vain(package: str) -> None:
    """The last part of a name may be anything."""
    assert look_alikes(f"{package}.layers", "\udc80") == []
