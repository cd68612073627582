"""The environment of this process: what torch and Python say of themselves, quickly, and nothing of the user."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.activations import NewGELUActivation

from intact.core.environment import Distribution, Environment
from intact.model.surroundings import environment
from intact.model.surroundings.environment import capture_environment, describe_machine, installed_beside


class Own(nn.Module):
    """A model of the user's own, with a layer of a library."""

    def __init__(self) -> None:
        super().__init__()
        self.act = NewGELUActivation()


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    """Puts the settings of torch back."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False


def test_it_says_what_torch_and_python_say() -> None:
    """These lines are what a maintainer asks for first."""
    found = capture_environment(None)
    assert found.torch == torch.__version__
    assert found.torch_commit == torch.version.git_version
    assert (found.python, found.machine, found.system) == (platform.python_version(), platform.machine(), platform.system())
    assert found.cpu == torch.backends.cpu.get_cpu_capability()
    assert found.settings is not None
    assert found.settings.threads == torch.get_num_threads()
    assert [entry.name for entry in found.distributions] == ["torch"]
    assert found.sources == ()


def test_it_names_the_distributions_that_the_model_comes_from_and_no_others() -> None:
    """numpy, pytest and the rest are loaded here as well."""
    found = capture_environment(nn.Sequential(nn.Linear(2, 2), NewGELUActivation()))
    assert {entry.name for entry in found.distributions} == {"torch", "transformers"}
    layers = found.distribution("transformers")
    assert layers is not None
    assert layers.modules == ("transformers",)
    assert layers.classes == ("transformers.activations.NewGELUActivation",)


def test_the_class_of_the_whole_model_stands_first() -> None:
    """It is the one that a person knows."""
    found = capture_environment(nn.Sequential(nn.Linear(2, 2)))
    torch_itself = found.distribution("torch")
    assert torch_itself is not None
    assert torch_itself.classes[0] == "torch.nn.modules.container.Sequential"


def test_the_users_own_code_is_no_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be installed from an index; its commit is what leads back to it."""
    monkeypatch.setattr(environment, "distribution_of", lambda name: None)
    environment._origins.cache_clear()
    found = capture_environment(Own())
    environment._origins.cache_clear()
    trees = {tree.modules: tree for tree in found.sources}
    mine = trees[(__name__.partition(".")[0],)]
    assert mine.classes == (f"{__name__}.Own",)


@pytest.mark.usefixtures("_as_it_was")
def test_settings_are_those_of_the_moment() -> None:
    """A program changes them between two saves."""
    before = capture_environment(None).settings
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    after = capture_environment(None).settings
    assert before is not None
    assert after is not None
    assert (before.deterministic, before.default_dtype, before.cudnn_benchmark) == ("off", "float32", False)
    assert (after.deterministic, after.default_dtype, after.cudnn_benchmark) == ("warn", "float64", True)
    assert after.matmul_precision == "high"
    torch.use_deterministic_algorithms(True)
    again = capture_environment(None).settings
    assert again is not None
    assert again.deterministic == "on"


def test_switches_that_contradict_each_other_are_no_error() -> None:
    """torch refuses to tell the older switch once the newer one was used; a save goes on."""
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        found = capture_environment(None).settings
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"
    assert found is not None
    assert (found.matmul_precision, found.cuda_matmul) == ("mixed", "tf32")
    assert torch.get_float32_matmul_precision() == "highest"


def test_nothing_of_the_user_or_the_machines_folders_is_recorded() -> None:
    """The record goes wherever the checkpoint goes."""
    text = capture_environment(Own()).to_json()
    for private in (str(Path(torch.__file__).parent), str(Path.cwd()), str(Path.home()) + "/", f'"{getpass.getuser()}"'):
        assert private not in text
    assert platform.node() == "" or f'"{platform.node()}"' not in text


def test_a_record_of_this_process_can_be_read_back() -> None:
    """Whatever names a model has, the bounds of the record hold for its own writer."""
    endless = type("N" * 5000, (nn.Module,), {"__module__": __name__})
    found = capture_environment(endless())
    assert Environment.from_json(found.to_json()) == found


def test_a_second_capture_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training loop saves every few minutes, and what is installed is read once."""
    first = capture_environment(Own())

    def refuse(*given: object, **named: object) -> None:
        raise AssertionError("looked up again")

    monkeypatch.setattr(metadata, "distribution", refuse)
    monkeypatch.setattr(metadata, "distributions", refuse)
    assert capture_environment(Own()) == first


def test_no_device_is_woken_up() -> None:
    """A process that has used a device can no longer fork and use it."""
    capture_environment(Own())
    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def test_devices_and_driver_are_read_from_the_drivers_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That costs nothing, and it is there before the first tensor is on the device."""
    for number in range(2):
        (tmp_path / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
        (tmp_path / "gpus" / f"0000:0{number}:00.0" / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n")
    version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (x)\nGCC version: gcc 11.4.0\n"
    (tmp_path / "version").write_text(version)
    monkeypatch.setattr(environment, "_NVIDIA", tmp_path)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    environment._quiet_devices.cache_clear()
    assert environment._quiet_devices() == ("NVIDIA H100 80GB HBM3",) * 2
    assert environment._driver() == "570.86.15"
    environment._quiet_devices.cache_clear()


def test_without_torch_only_the_machine_and_what_is_installed_is_known() -> None:
    """`intact check` of a file alone does not wait for torch."""
    found = describe_machine()
    assert found.torch == torch.__version__
    assert found.python == platform.python_version()
    assert found.settings is None
    assert found.devices is None


def test_what_is_installed_of_a_record_is_found_by_name() -> None:
    """A name that is none, and one of nothing installed, are left out."""
    recorded = [Distribution(name, "0") for name in ("torch", "no-such-thing-is-installed", "../x", "transformers")]
    assert [entry.name for entry in installed_beside(recorded)] == ["torch", "transformers"]
