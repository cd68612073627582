"""Which modules code of a model comes from: what it reaches counts, and what is imported beside it does not."""

from __future__ import annotations

import functools
import html
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.activations import NewGELUActivation

from intact.model.surroundings.used_code import modules_used

NET = """
import torch
from torch import nn
import far_away
import only_imported
from elsewhere import Base, transform, CONSTANT

def helper(x):
    return far_away.deep(x)

def unused(x):
    return only_imported.plot(x)

class Net(Base):
    def forward(self, x):
        return (lambda y: helper(y))(x)

    @property
    def half(self):
        return transform(self)
"""


def names(model: nn.Module) -> set[str]:
    """Returns the modules that a model reaches."""
    return {name for name, _ in modules_used(model)}


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a small project of five files and imports the one with the model."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "far_away.py").write_text("def deep(x):\n    return x\n")
    (tmp_path / "only_imported.py").write_text("def plot(x):\n    return x\n")
    (tmp_path / "elsewhere.py").write_text(
        "from torch import nn\nCONSTANT = 3\ndef transform(x):\n    return x\nclass Base(nn.Module):\n    pass\n"
    )
    (tmp_path / "project_net.py").write_text(NET)
    return importlib.import_module("project_net")


def test_classes_their_bases_and_what_their_methods_call_are_reached(net: Any) -> None:
    """A lambda, a helper of the same file and a property are code of the model like any other."""
    assert {"project_net", "elsewhere", "far_away"} <= names(net.Net())
    assert ("elsewhere", "Base") in modules_used(net.Net())
    assert ("project_net", "Net") in modules_used(net.Net())


def test_what_is_only_imported_beside_it_is_not_reached(net: Any) -> None:
    """Whoever rebuilds the model does not need the plotting library of the training script."""
    assert "only_imported" not in names(net.Net())


def test_classes_of_layers_inside_are_reached() -> None:
    """A Sequential of somebody's layers comes from torch by its own class."""
    found = modules_used(nn.Sequential(nn.Linear(2, 2), NewGELUActivation()))
    assert ("transformers.activations", "NewGELUActivation") in found
    assert ("torch.nn.modules.linear", "Linear") in found


@pytest.mark.parametrize("wrap", ["itself", "partial", "list", "mapping", "method", "module"])
def test_functions_that_a_module_keeps_are_reached(net: Any, wrap: str) -> None:
    """An activation is often handed to the constructor."""
    far_away = importlib.import_module("far_away")
    kept: dict[str, object] = {
        "itself": far_away.deep,
        "partial": functools.partial(far_away.deep),
        "list": [far_away.deep],
        "mapping": {"act": far_away.deep},
        "method": far_away.deep.__get__(3),
        "module": far_away,
    }
    model = nn.Linear(2, 2)
    vars(model)["act"] = kept[wrap]
    assert "far_away" in names(model)


def test_hooks_and_parameters_of_somebodys_class_are_reached(net: Any) -> None:
    """Quantization libraries put their code into the class of the parameter."""
    far_away = importlib.import_module("far_away")

    class Packed(nn.Parameter):
        pass

    model = nn.Linear(2, 2)
    model.register_forward_hook(lambda module, given, result: far_away.deep(result))
    assert __name__ in names(model)
    plain = nn.Linear(2, 2)
    assert __name__ not in names(plain)
    plain.weight = Packed(torch.zeros(2, 2))
    assert __name__ in names(plain)


def test_modules_of_python_are_left_out() -> None:
    """They come with the interpreter, which has a line of its own."""
    model = nn.Linear(2, 2)
    vars(model)["act"] = html.escape
    assert not {"html", "builtins", "collections"} & names(model)


def test_an_attribute_that_answers_everything_runs_nothing() -> None:
    """Lazy objects import libraries when they are asked for an attribute."""

    class Answering:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"asked for {name}")

    model = nn.Linear(2, 2)
    vars(model)["config"] = Answering()
    assert __name__ in names(model)


def test_a_list_that_contains_itself_ends() -> None:
    """Only one level is opened."""
    kept: list[object] = []
    kept.append(kept)
    model = nn.Linear(2, 2)
    vars(model)["kept"] = kept
    assert "torch.nn.modules.linear" in names(model)
