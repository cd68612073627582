"""Which distribution a module belongs to: real ones of this environment, and small ones installed in a folder of the test."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch  # noqa: F401 - the module whose distribution is asked for

from intact.core.environment import Distribution
from intact.model.surroundings import distributions
from intact.model.surroundings.distributions import belongs_to_python, distribution_of, installed

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with these files in a folder of the search path, and forgets what was asked before."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    for kept in (distributions._found, distributions._installed, distributions._beside, distributions._in_use):
        kept.cache_clear()

    def write(name: str, *files: str, listed: bool = True, **notes: object) -> Path:
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        if listed:
            (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for note, text in notes.items():
            (info / note.replace("_json", ".json").replace("_txt", ".txt")).write_text(str(text))
        for file in files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text("x = 1\n")
        importlib.invalidate_caches()
        return site

    return write


def owner(module: str) -> Distribution | None:
    """Returns what a module belongs to once it is imported."""
    importlib.import_module(module)
    return distribution_of(module)


def test_a_module_of_torch_belongs_to_torch() -> None:
    """The version is that of pip, with the build."""
    found = distribution_of("torch.nn.modules.linear")
    assert found is not None
    assert (found.name, found.version, found.origin) == ("torch", str(sys.modules["torch"].__version__), "index")


def test_a_distribution_of_another_name_than_its_module_is_found(install: Install) -> None:
    """PyYAML is `yaml`, scikit-learn is `sklearn`: an installer knows the first name only."""
    install("Other-Name", "called_so_a/__init__.py", "called_so_a/layers.py")
    found = owner("called_so_a.layers")
    assert found is not None
    assert (found.name, found.version) == ("Other-Name", "1.2")


def test_a_distribution_of_the_same_name_that_does_not_hold_the_module_is_not_meant(install: Install) -> None:
    """Names on an index and names of modules are given by different people."""
    install("called_so_b", "something_else_b.py")
    install("the-real-one", "called_so_b/__init__.py")
    found = owner("called_so_b")
    assert found is not None
    assert found.name == "the-real-one"


def test_modules_of_one_namespace_belong_each_to_its_own_distribution(install: Install) -> None:
    """`google` or `nvidia` alone says nothing."""
    install("space-one", "space_c/one/__init__.py")
    install("space-two", "space_c/two/__init__.py")
    found = [owner("space_c.one"), owner("space_c.two")]
    assert [entry.name for entry in found if entry] == ["space-one", "space-two"]


def test_a_distribution_that_lists_only_its_top_level_is_found(install: Install) -> None:
    """Older installers wrote no RECORD."""
    install("old-d", "old_module_d.py", listed=False, top_level_txt="old_module_d\n")
    found = owner("old_module_d")
    assert found is not None
    assert found.name == "old-d"


def test_a_distribution_without_lists_is_found_by_its_name(install: Install) -> None:
    """Packages of Linux distributions may have neither."""
    install("bare-e", "bare_e/__init__.py", listed=False)
    found = owner("bare_e")
    assert found is not None
    assert found.name == "bare-e"


def test_a_file_of_the_user_and_a_module_of_python_belong_to_none(install: Install) -> None:
    """They cannot be installed."""
    site = install("something-f", "something_f.py")
    (site / "own_f.py").write_text("")
    assert owner("own_f") is None
    assert owner("json.decoder") is None
    assert distribution_of("builtins") is None
    assert distribution_of("no_such_module_was_ever_loaded") is None
    assert belongs_to_python("collections.abc")
    assert not belongs_to_python("__main__")


def test_a_distribution_in_use_from_a_folder_owns_what_lies_there(install: Install, tmp_path: Path) -> None:
    """`pip install -e .` puts no module into the search folder."""
    project = tmp_path / "a project" / "src"
    (project / "edited_g").mkdir(parents=True)
    (project / "edited_g" / "__init__.py").write_text("")
    note = {"url": project.parent.as_uri(), "dir_info": {"editable": True}}
    install("edited-g", direct_url_json=json.dumps(note))
    sys.path.insert(0, str(project))
    try:
        found = owner("edited_g")
    finally:
        sys.path.remove(str(project))
    assert found is not None
    assert (found.name, found.origin, found.url) == ("edited-g", "editable", "")


@pytest.mark.parametrize(
    ("note", "origin", "url", "commit"),
    [
        ({"url": "https://u:secret@host.example/r?t=1#f", "vcs_info": {"vcs": "git", "commit_id": "c" * 40}}, "vcs",
         "https://host.example/r", "c" * 40),
        ({"url": "https://host.example/r", "subdirectory": "p", "vcs_info": {"vcs": "git", "commit_id": "c" * 40}}, "vcs", "",
         "c" * 40),
        ({"url": "file:///home/somebody/x-1.2.whl", "archive_info": {}}, "archive", "", ""),
        ({"url": "file:///home/somebody/x", "dir_info": {}}, "folder", "", ""),
        ({"url": "https://host.example/x-1.2.whl", "archive_info": {}}, "archive", "https://host.example/x-1.2.whl", ""),
        ([1], "unknown", "", ""),
        ({"url": "https://host.example/r", "vcs_info": 3}, "vcs", "", ""),
    ],
)  # fmt: skip
def test_where_it_came_from_is_told_without_secrets_and_local_paths(
    install: Install, note: object, origin: str, url: str, commit: str
) -> None:
    """The record goes wherever the checkpoint goes."""
    install("noted-h", "noted_h.py", direct_url_json=json.dumps(note))
    found = installed("noted-h")
    assert found is not None
    assert (found.origin, found.url, found.commit) == (origin, url, commit)


def test_a_note_that_is_no_json_is_no_error(install: Install) -> None:
    """A save does not fail because of an installer."""
    install("noted-i", "noted_i.py", direct_url_json="{")
    found = installed("noted-i")
    assert found is not None
    assert found.origin == "unknown"


@pytest.mark.parametrize("name", ["", ".", "..", "../torch", "a/b", "a\x00b", "no-such-thing-is-installed", "torch\n", "é"])
def test_a_name_from_a_file_that_is_none_is_not_installed(name: str) -> None:
    """It is looked up by what somebody else wrote."""
    assert installed(name) is None
