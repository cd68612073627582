"""Names whose package is here and that are not in it, in real files, beside those whose package is not here at all."""

from __future__ import annotations

import os
import pathlib
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch

import intact
from intact.containers.pickles import has_moved


class Named:
    """Pickled as whatever global it is told, as another machine would write it."""

    def __init__(self, module: str, name: str) -> None:
        self.text = f"c{module}\n{name}\n"

    def written(self) -> bytes:
        """Returns the opcodes of `{"x": module.name}`."""
        return b"\x80\x02}q\x00X\x01\x00\x00\x00x" + self.text.encode() + b"s."


def codes_of(path: Path, module: str, name: str) -> list[str]:
    """Returns what a check says of a plain pickle that names one global and holds nothing else."""
    path.write_bytes(Named(module, name).written())
    return [finding.code for finding in intact.check(path).findings]


@pytest.mark.parametrize(
    "name",
    [
        "argparse.Gone",
        "json.decoder.Gone",
        "json.gone.JSONDecoder",
        "numpy.gone.Thing",
        "intact.core.Gone",
        "email.gone.Gone.Inner",
    ],
)
def test_names_that_are_not_where_they_stood(name: str) -> None:
    """The module, or the class in it, is gone; the package is here."""
    assert has_moved(name)


@pytest.mark.parametrize(
    "name",
    [
        "argparse.Namespace",
        "json.decoder.JSONDecoder",
        "collections.OrderedDict",
        "copy_reg._reconstructor",
        "__builtin__.unicode",
        "cPickle.loads",
        "numpy.core.multiarray._reconstruct",
        "numpy.random._pickle.__randomstate_ctor",
        "torch._utils._rebuild_tensor_v2",
        "torch.nn.modules.activation.SiLU",
        "torch._C._nn.gelu",
        "__main__.Gone",
        "surely_not_installed.layers.Conv",
        "surely_not_installed",
        "",
        ".",
        "a..b",
        "json.\udc80",
    ],
)
def test_names_that_are_there_or_whose_package_is_not(name: str) -> None:
    """Other causes, or none."""
    assert not has_moved(name)


def test_the_new_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one file of the package defines the name now, that is what the reader wants to know."""
    package = tmp_path / "shop_of_layers"
    (package / "blocks").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "blocks" / "__init__.py").write_text("")
    (package / "blocks" / "conv.py").write_text("class Conv:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "x.pkl").write_bytes(Named("shop_of_layers.conv", "Conv").written())
    (finding,) = [f for f in intact.check(tmp_path / "x.pkl").findings if f.code == "version/moved-global"]
    assert finding.evidence["now"] == {"shop_of_layers.conv.Conv": ["shop_of_layers.blocks.conv"]}
    assert "`shop_of_layers.conv.Conv` is now in `shop_of_layers.blocks.conv`" in finding.cause
    assert "shop_of_layers" not in sys.modules


def test_a_class_that_a_pickled_model_needs_and_its_project_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another copy of the project is on the path: its module is there, the layer is not."""
    module = types.ModuleType("models_of_a_project")
    layer = type("SPPF", (torch.nn.Linear,), {"__module__": "models_of_a_project"})
    module.SPPF = layer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "models_of_a_project", module)
    torch.save(torch.nn.Sequential(layer(2, 3)), tmp_path / "whole.pt")
    assert "version/moved-global" not in [f.code for f in intact.check(tmp_path / "whole.pt").findings]
    del module.SPPF
    report = intact.check(tmp_path / "whole.pt", torch.nn.Sequential(torch.nn.Linear(2, 3)))
    assert "version/moved-global" in [f.code for f in report.findings]
    assert report.verdict == "repairable"


def test_one_name_has_one_cause(tmp_path: Path) -> None:
    """Neither is told twice, and nothing dangerous is told as a matter of versions."""
    assert codes_of(tmp_path / "a.pkl", "surely_not_installed.x", "Y").count("version/moved-global") == 0
    assert "version/missing-class" in codes_of(tmp_path / "a.pkl", "surely_not_installed.x", "Y")
    moved = codes_of(tmp_path / "a.pkl", "json.gone", "Y")
    assert "version/moved-global" in moved
    assert not {"version/missing-class", "safety/unknown-global"} & set(moved)
    assert "version/moved-global" not in codes_of(tmp_path / "a.pkl", "os.gone", "system")


def test_a_file_of_many_names_is_looked_through_in_bounds(tmp_path: Path) -> None:
    """Each name costs a look at the disk; a file can hold a hundred thousand."""
    body = b"".join(f"cjson.gone_{number}\nX\n0".encode() for number in range(20_000))
    (tmp_path / "many.pkl").write_bytes(pickle.PROTO + b"\x02" + body + b"}.")
    report = intact.check(tmp_path / "many.pkl")
    (finding,) = [f for f in report.findings if f.code == "version/moved-global"]
    assert len(finding.evidence["names"]) == 1000


def test_paths_of_another_system_are_told_as_what_no_option_of_torch_helps_with(tmp_path: Path) -> None:
    """The advice that goes round, weights_only=False, ends in the next error."""
    here, there = ("WindowsPath", "PosixPath") if os.name == "nt" else ("PosixPath", "WindowsPath")
    for name, told in ((here, False), (there, True)):
        torch.save({"x": torch.zeros(2), "p": _Path(name)}, tmp_path / "p.pth")
        (finding,) = [f for f in intact.check(tmp_path / "p.pth").findings if f.code == "version/weights-only-refused"]
        assert ("cannot be made on this system" in finding.cause) == told


class _Path:
    """Pickled as a path of the system that is named."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return getattr(pathlib, self.name), ("runs", "exp")


def test_a_name_with_parts_that_are_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    """Its module is gone, whatever stands behind."""
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04}\x8c\x01x\x8c\x09json.gone\x8c\x03\xed\xb2\x80\x93s.")
    report = intact.check(tmp_path / "x.pkl")
    assert report.verdict in ("suspect", "repairable", "incompatible", "unsafe")
