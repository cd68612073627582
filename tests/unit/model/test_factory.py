"""Models from the user's own code, and one clear line for everything that can be wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from intact.errors import ModelError
from intact.model.factory import build_model

NETS = """
import torch
from neighbour import WIDTH

print("built by a chatty file")

class Net(torch.nn.Linear):
    def __init__(self, width, depth=WIDTH):
        super().__init__(width, depth)

    @classmethod
    def small(cls):
        return cls(2)

ready = Net(3)
number = 3

def failing():
    return 1 / 0

def several():
    return ready, 1

def leaving():
    raise SystemExit(3)

def interrupted():
    raise KeyboardInterrupt
"""


@pytest.fixture
def nets(tmp_path: Path) -> Iterator[Path]:
    """A file with factories and a neighbour that it imports; what it leaves in `sys.modules` is removed again."""
    known, path = set(sys.modules), list(sys.path)
    (tmp_path / "neighbour.py").write_text("WIDTH = 5\n")
    file = tmp_path / "nets_of_a_test.py"
    file.write_text(NETS)
    yield file
    assert sys.path == path, "the folder is importable only for the time of the import"
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_class_is_called_with_the_arguments(nets: Path) -> None:
    """`--model nets.py:Net` with arguments is the ordinary case."""
    model = build_model(f"{nets}:Net", {"width": 3})
    assert isinstance(model, torch.nn.Linear)
    assert (model.in_features, model.out_features) == (3, 5)
    assert type(model).__module__ == "nets_of_a_test"


def test_a_method_and_a_ready_model_can_be_named(nets: Path) -> None:
    """A dotted factory, and a model that the file has already built."""
    small, ready = build_model(f"{nets}:Net.small"), build_model(f"{nets}:ready")
    assert isinstance(small, torch.nn.Linear)
    assert isinstance(ready, torch.nn.Linear)
    assert (small.in_features, ready.in_features) == (2, 3)
    assert type(small) is type(ready), "the file is imported once"


def test_a_module_can_be_named_from_the_working_folder(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m` finds it there, and so do we."""
    monkeypatch.chdir(nets.parent)
    assert build_model("nets_of_a_test:ready").in_features == 3
    assert isinstance(build_model("torch.nn:Identity"), torch.nn.Identity)


def test_what_the_file_prints_does_not_reach_the_report(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` has to stay JSON."""
    build_model(f"{nets}:ready")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "chatty" in printed.err


@pytest.mark.parametrize(
    ("name", "arguments", "message", "help_"),
    [
        ("Nett", {}, "has no `Nett`", "did you mean `Net`?"),
        ("Net.tiny", {}, "has no `Net.tiny`", ""),
        ("Net", {}, "missing a required argument: 'width'", "Net(width, depth=5)"),
        ("Net", {"width": 1, "colour": 2}, "unexpected keyword argument 'colour'", "Net(width, depth=5)"),
        ("ready", {"a": 1}, "is a model already", ""),
        ("number", {}, "is a `int`", ""),
        ("failing", {}, "raises ZeroDivisionError: division by zero", ""),
        ("several", {}, "returns a `tuple`", ""),
        ("leaving", {}, "exits with 3", "__main__"),
    ],
)
def test_a_wrong_factory_is_told_in_one_line(nets: Path, name: str, arguments: dict[str, int], message: str, help_: str) -> None:
    """No traceback of ours stands between the user and the mistake."""
    with pytest.raises(ModelError) as caught:
        build_model(f"{nets}:{name}", arguments)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert help_ in caught.value.help
    assert caught.value.path.startswith(str(nets))


def test_the_place_in_the_users_file_is_named(nets: Path) -> None:
    """That is where the editor has to go."""
    with pytest.raises(ModelError) as caught:
        build_model(f"{nets}:failing")
    assert caught.value.path == f"{nets}:{NETS.splitlines().index('    return 1 / 0') + 1}"


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("import torch\nx = (", "SyntaxError", 2),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'", 1),
        ("\n\nraise RuntimeError('no\\ngpu')", "RuntimeError: no gpu", 3),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_where(tmp_path: Path, source: str, message: str, line: int) -> None:
    """And it leaves no half imported module behind."""
    file = tmp_path / "broken_of_a_test.py"
    file.write_text(source)
    with pytest.raises(ModelError) as caught:
        build_model(f"{file}:x")
    assert message in caught.value.message
    assert caught.value.path == f"{file}:{line}"
    assert "broken_of_a_test" not in sys.modules


@pytest.mark.parametrize("spec", ["no_such_file.py:x", "no_such_package_of_a_test.x:y", "torch.no_such_part:x"])
def test_what_is_not_there_is_named(spec: str) -> None:
    """A misspelt path is the most frequent mistake of all."""
    with pytest.raises(ModelError, match=r"there is no such file|there is no module"):
        build_model(spec)


@pytest.mark.parametrize("spec", ["", ":", "nets.py", "nets.py:", ":Net"])
def test_a_spec_of_another_form_is_refused_with_the_form(spec: str) -> None:
    """The help says how it is written."""
    with pytest.raises(ModelError) as caught:
        build_model(spec)
    assert "FILE.py:FACTORY" in caught.value.help


def test_a_file_named_like_a_loaded_module_replaces_nothing(tmp_path: Path) -> None:
    """People call their files `json.py`."""
    import json

    (tmp_path / "json.py").write_text("import torch\nmodel = torch.nn.Identity()\n")
    assert isinstance(build_model(f"{tmp_path / 'json.py'}:model"), torch.nn.Identity)
    assert sys.modules["json"] is json
    del sys.modules["json_of_the_user"]


def test_an_interruption_passes_through(nets: Path) -> None:
    """Ctrl-C while a large model is being built is not an error of the factory."""
    with pytest.raises(KeyboardInterrupt):
        build_model(f"{nets}:interrupted")
