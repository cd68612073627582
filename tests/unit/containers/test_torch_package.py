"""Archives of torch.package, read without running the sources in them."""

from __future__ import annotations

import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.package.package_exporter import PackageExporter

import intact

SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.bn = nn.Linear(3, 4), nn.BatchNorm1d(4)
"""


class Plain(nn.Module):
    """The same layers, here."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(3, 4), nn.BatchNorm1d(4)


def packed(path: Path, fill: Callable[[PackageExporter], None]) -> None:
    """Writes a package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PackageExporter(path) as package:
            package.extern(["torch.**"])
            fill(package)


def assert_loads(path: Path, state: dict[str, Any], **more: Any) -> None:
    """Asserts that a model holds a state after a load."""
    model = Plain()
    intact.load_into(model, path, **more)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_model_is_read_although_its_class_is_only_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source lies beside the weights, and is not run."""
    (tmp_path / "net_of_a_package.py").write_text(SOURCE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("net_of_a_package")
    model = module.Net()

    def fill(package: PackageExporter) -> None:
        package.intern("net_of_a_package")
        package.save_pickle("model", "model.pkl", model)

    packed(tmp_path / "a.pt", fill)
    del sys.modules["net_of_a_package"]
    (tmp_path / "net_of_a_package.py").unlink()
    report = intact.check(tmp_path / "a.pt", Plain())
    assert report.verdict == "repairable"
    assert {finding.code for finding in report.findings} == {"file/foreign-format", "arch/whole-model-pickle"}
    assert report.source.container == "torch-package"
    assert_loads(tmp_path / "a.pt", model.state_dict())
    assert "net_of_a_package" not in sys.modules


def test_a_state_dict_in_a_package_is_the_checkpoint(tmp_path: Path) -> None:
    """Texts beside it are none, not even such as read like a pickle."""
    state = Plain().state_dict()

    def fill(package: PackageExporter) -> None:
        package.save_pickle("weights", "sd.pkl", state)
        package.save_text("weights", "readme.txt", "for the record")

    packed(tmp_path / "b.pt", fill)
    report = intact.check(tmp_path / "b.pt", Plain())
    assert [finding.code for finding in report.findings] == ["file/foreign-format"]
    assert_loads(tmp_path / "b.pt", state)
    assert intact.verify(tmp_path / "b.pt").source.integrity.kind == "crc32"


def test_several_pickles_are_one_mapping(tmp_path: Path) -> None:
    """By the names under which they were saved; storages that they share stay one."""
    first, second = Plain().state_dict(), Plain().state_dict()
    second["fc.weight"] = first["fc.weight"]

    def fill(package: PackageExporter) -> None:
        package.save_pickle("a", "one.pkl", first)
        package.save_pickle("b", "two.pkl", second)

    packed(tmp_path / "c.pt", fill)
    read = intact.read(tmp_path / "c.pt")
    assert set(read) == {"a/one.pkl", "b/two.pkl"}
    assert torch.equal(read["b/two.pkl"]["bn.weight"], second["bn.weight"])
    assert intact.check(tmp_path / "c.pt", Plain()).verdict == "lossy"
    assert_loads(tmp_path / "c.pt", second, at="b/two.pkl")


def test_what_a_pickle_of_a_package_would_run_is_told(tmp_path: Path) -> None:
    """Every pickle of the archive is read for its names."""

    class Run:
        def __reduce__(self) -> Any:
            import os

            return os.system, ("true",)

    packed(tmp_path / "d.pt", lambda package: package.save_pickle("weights", "sd.pkl", Plain().state_dict()))
    with zipfile.ZipFile(tmp_path / "d.pt", "a") as archive:
        import pickle

        archive.writestr("d/other.pkl", pickle.dumps(Run()))
        archive.writestr("d/hidden", pickle.dumps(Run()))
    report = intact.check(tmp_path / "d.pt")
    assert report.verdict == "unsafe"


def test_damage_in_a_package_is_told_with_the_tensor(tmp_path: Path) -> None:
    """Its records have the checksums of every zip."""
    packed(tmp_path / "e.pt", lambda package: package.save_pickle("weights", "sd.pkl", {"w": torch.rand(64)}))
    with zipfile.ZipFile(tmp_path / "e.pt") as archive:
        info = archive.getinfo("e/.data/0.storage")
    data = bytearray((tmp_path / "e.pt").read_bytes())
    data[info.header_offset + 30 + len(info.filename) + 200] ^= 1
    (tmp_path / "e.pt").write_bytes(data)
    report = intact.check(tmp_path / "e.pt")
    assert report.verdict == "damaged"
    assert "w" in report.findings[0].keys
