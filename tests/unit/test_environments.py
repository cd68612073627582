"""Two environments side by side: what follows from each difference, and where the recorded one is read from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import intact
from intact.core.environment import Distribution, Environment, Settings, SourceTree
from intact.environments import Line, compare_environments, current_beside, recorded_in, release_of
from intact.errors import CannotRead, IntactError
from intact.model.surroundings.environment import capture_environment

HERE = Environment(
    python="3.11.7",
    implementation="CPython",
    system="Linux",
    machine="x86_64",
    libc="glibc 2.39",
    cpu="AVX2",
    torch="2.13.0+cu128",
    torch_commit="a" * 40,
    cuda="12.8",
    cudnn="91002",
    driver="570.86",
    devices=("NVIDIA H100",),
    settings=Settings("float32", "off", False, False, "highest", "none", "tf32", 8),
    distributions=(Distribution("timm", "1.0.9", ("timm",), ("timm.models.resnet.ResNet",), "index"),),
    sources=(SourceTree(("net",), ("net.Net",), "c" * 40, False),),
)


def line(name: str, recorded: Environment, current: Environment) -> Line:
    """Returns the one line of that name."""
    (found,) = (entry for entry in compare_environments(recorded, current) if entry.name == name)
    return found


def timm(version: str = "1.0.9", **more: Any) -> tuple[Distribution, ...]:
    """Returns the library with some of it changed."""
    return (replace(HERE.distributions[0], version=version, **more),)


def test_an_environment_beside_itself_is_equal_in_everything() -> None:
    """A false alarm here would stand in every report."""
    assert {entry.consequence for entry in compare_environments(HERE, HERE)} == {"equal"}


@pytest.mark.parametrize(
    ("recorded", "current", "consequence"),
    [
        ("2.13.0", "2.13.0", "equal"),
        ("2.13.0+cpu", "2.13.0+cu128", "harmless"),
        ("2.13.0", "2.13.1", "harmless"),
        ("2.13.0+cu128", "2.13.2+cpu", "harmless"),
        ("2.13.0", "2.13.0.post1", "harmless"),
        ("2.12.0", "2.13.0", "may-change-outputs"),
        ("2.13.0", "2.12.1", "may-change-outputs"),
        ("1.13.0", "2.13.0", "may-change-outputs"),
        ("2.14.0.dev20260101", "2.14.0.dev20260102", "may-change-outputs"),
        ("2.13.0rc1", "2.13.0", "may-change-outputs"),
        ("2.13.0a0+git1", "2.13.0a0+git2", "may-change-outputs"),
        ("2.13.0", "2.13.0+patched", "may-change-outputs"),
        ("", "2.13.0", "not-compared"),
        ("no version at all", "2.13.0", "may-change-outputs"),
    ],
)
def test_versions_are_compared_as_they_are_counted(recorded: str, current: str, consequence: str) -> None:
    """A release of repairs and another build of one release change no results."""
    one, other = replace(HERE, torch=recorded, torch_commit=""), replace(HERE, torch=current)
    assert line("torch", one, other).consequence == consequence
    if recorded:
        one, other = replace(HERE, distributions=timm(recorded)), replace(HERE, distributions=timm(current))
        assert line("timm", one, other).consequence == consequence


def test_a_release_says_whether_it_is_older_or_newer() -> None:
    """An older one than recorded is the likelier to lack something."""
    assert "older" in line("torch", HERE, replace(HERE, torch="2.9.1")).reason
    assert "newer" in line("torch", HERE, replace(HERE, torch="2.14.0")).reason
    assert release_of("1!2.10.0rc1+cpu") == (2, 10, 0)
    assert release_of("unknown") == ()


def test_one_version_built_from_two_commits_may_compute_something_else() -> None:
    """Builds from source all call themselves alike."""
    found = line("torch", HERE, replace(HERE, torch_commit="b" * 40))
    assert found.consequence == "may-change-outputs"
    assert (found.recorded, found.current) == ("2.13.0+cu128 (aaaaaaaa)", "2.13.0+cu128 (bbbbbbbb)")


def test_without_torch_nothing_can_be_loaded() -> None:
    """The values can be read all the same, and that is said."""
    assert line("torch", HERE, replace(HERE, torch="")).consequence == "cannot-load"


def test_a_missing_library_is_grave_where_it_provides_a_class() -> None:
    """Without the class there is nothing to load into; a function it calls may not be needed for loading."""
    without = replace(HERE, distributions=())
    found = line("timm", HERE, without)
    assert (found.consequence, found.current) == ("cannot-load", "not installed")
    assert "timm.models.resnet.ResNet" in found.reason
    assert line("timm", replace(HERE, distributions=timm(classes=())), without).consequence == "may-change-outputs"


def test_another_commit_of_one_version_is_a_difference() -> None:
    """A library in development keeps its version for months."""
    one, other = (replace(HERE, distributions=timm(commit=c * 40, origin="vcs")) for c in "de")
    assert line("timm", one, one).consequence == "equal"
    assert line("timm", one, other).consequence == "may-change-outputs"
    dirty = replace(HERE, distributions=timm(commit="d" * 40, origin="editable", dirty=True))
    assert line("timm", dirty, one).consequence == "may-change-outputs"
    assert line("timm", dirty, one).recorded == "1.0.9 (dddddddd, changed)"
    assert line("timm", one, dirty).consequence == "may-change-outputs"


def test_code_that_was_changed_on_both_sides_is_not_compared() -> None:
    """While somebody works on it, every load would be told something that nobody knows."""
    dirty = replace(HERE, distributions=timm(commit="d" * 40, origin="editable", dirty=True))
    assert line("timm", dirty, dirty).consequence == "not-compared"


def test_devices_matter_where_there_were_some() -> None:
    """A model that was saved on a machine without a device loses nothing on one with it."""
    on_cpu = replace(HERE, devices=(), cuda="", cudnn="", driver="")
    assert line("devices", HERE, on_cpu).consequence == "may-change-outputs"
    assert line("CUDA", HERE, on_cpu).consequence == "may-change-outputs"
    assert line("devices", on_cpu, HERE).consequence == "harmless"
    assert line("cuDNN", on_cpu, HERE).consequence == "harmless"
    assert line("driver", HERE, replace(HERE, driver="580.1")).consequence == "harmless"
    assert line("devices", HERE, replace(HERE, devices=("NVIDIA H100",) * 8)).consequence == "equal"
    assert line("devices", HERE, replace(HERE, devices=None)).consequence == "not-compared"


def test_what_a_setting_changes_depends_on_whether_there_was_a_device() -> None:
    """`cudnn.benchmark` says nothing about a model on the CPU."""
    assert HERE.settings is not None
    other = replace(HERE, settings=replace(HERE.settings, cudnn_benchmark=True, default_dtype="float64"))
    assert line("cudnn.benchmark", HERE, other).consequence == "may-change-outputs"
    assert line("cudnn.benchmark", replace(HERE, devices=()), other).consequence == "harmless"
    assert line("default dtype", replace(HERE, devices=()), other).consequence == "may-change-outputs"
    assert line("default dtype", HERE, replace(HERE, settings=None)).consequence == "not-compared"
    assert all(entry.kind != "setting" for entry in compare_environments(replace(HERE, settings=None), HERE))


@pytest.mark.parametrize(
    ("field", "value", "name", "consequence"),
    [
        ("python", "3.12.1", "python", "harmless"),
        ("libc", "musl 1.2", "libc", "harmless"),
        ("system", "Darwin", "system", "harmless"),
        ("machine", "arm64", "machine", "may-change-outputs"),
        ("cpu", "AVX512", "CPU capability", "may-change-outputs"),
        ("cpu", "", "CPU capability", "not-compared"),
    ],
)
def test_the_machine_is_compared_by_what_computes(field: str, value: str, name: str, consequence: str) -> None:
    """Vectors of another width add in another order; the system beneath does not add at all."""
    changed: dict[str, Any] = {field: value}
    assert line(name, HERE, replace(HERE, **changed)).consequence == consequence


def test_code_of_the_user_is_compared_by_its_commit_where_both_are_known() -> None:
    """Without the model at hand nobody knows which files would be used."""
    tree = HERE.sources[0]
    assert line("net", HERE, replace(HERE, sources=())).consequence == "not-compared"
    assert line("net", HERE, replace(HERE, sources=(replace(tree, commit="e" * 40),))).consequence == "may-change-outputs"
    assert line("net", HERE, replace(HERE, sources=(replace(tree, dirty=True),))).consequence == "may-change-outputs"
    assert line("net", HERE, replace(HERE, sources=(replace(tree, modules=()),))).consequence == "not-compared"


def written(path: Path, record: str) -> Path:
    """Returns a file that keeps this text as its record."""
    save_file({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, path, metadata={"intact.environment": record})
    return path


def test_the_record_of_a_file_is_read_from_its_metadata(tmp_path: Path) -> None:
    """It is what was written, whoever reads it."""
    assert recorded_in(written(tmp_path / "a.safetensors", HERE.to_json())) == HERE


def test_a_file_without_a_record_has_none(tmp_path: Path) -> None:
    """Most files of the world were written by other programs."""
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pth")
    save_file({"weight": torch.ones(2)}, tmp_path / "b.safetensors")
    assert recorded_in(tmp_path / "a.pth") is None
    assert recorded_in(tmp_path / "b.safetensors") is None


def test_a_malformed_record_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """And no checkpoint at all is the error of whoever opens it."""
    path = written(tmp_path / "a.safetensors", '{"python": 3}')
    with pytest.raises(IntactError, match="malformed") as caught:
        recorded_in(path)
    assert caught.value.path == str(path)
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(CannotRead):
        recorded_in(tmp_path / "empty.pth")


def test_a_malformed_record_does_not_keep_the_weights_from_loading(tmp_path: Path) -> None:
    """The tensors are whole, and they are what was asked for."""
    path = written(tmp_path / "a.safetensors", '{"python": 3}')
    assert intact.check(path, nn.Linear(2, 2)).verdict == "intact"


def test_this_environment_knows_what_the_record_names() -> None:
    """And a library of the record that is not here is not made up."""
    recorded = replace(HERE, distributions=(Distribution("transformers", "0.1"), *timm()))
    found = current_beside(recorded)
    assert found.distribution("transformers") is not None
    assert found.distribution("timm") is None
    assert found.settings is not None


def test_with_a_model_its_own_code_is_compared_as_well() -> None:
    """Only then it is known which files are in use."""

    class Net(nn.Module):
        pass

    tops = {module for tree in current_beside(HERE, Net()).sources for module in tree.modules}
    modules = {module for entry in current_beside(HERE, Net()).distributions for module in entry.modules}
    assert __name__.partition(".")[0] in tops | modules


def test_a_check_of_a_file_alone_does_not_wait_for_torch(tmp_path: Path) -> None:
    """Saying what a file is takes a tenth of a second, and importing torch ten times as long."""
    path = written(tmp_path / "a.safetensors", capture_environment(None).to_json())
    said = "print(report.verdict, [finding.code for finding in report.findings], 'torch' in sys.modules)"
    code = f"import sys, intact; report = intact.check({str(path)!r}); {said}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["intact", "[]", "False"]
