"""Files that do not say which version of a class wrote them, loaded into models whose code asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import intact

State = dict[str, Any]


class Versioned(nn.Module):
    """Reads its version when it is loaded; what it does then is up to those below."""

    _version = 2

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(size)), nn.Parameter(torch.rand(size))

    def _load_from_state_dict(self, state_dict: State, prefix: str, local_metadata: State, *rest: Any) -> None:
        self.migrate(state_dict, prefix, local_metadata.get("version"))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Changes what an older version wrote."""


class Shifted(Versioned):
    """Once stored its weight less one."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Makes a new tensor."""
        if version is None or version < 2:
            state[prefix + "weight"] = state[prefix + "weight"] + 1


class InPlace(Versioned):
    """The same, without a new tensor."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Changes the tensor itself."""
        if version is None or version < 2:
            state[prefix + "weight"].add_(1)


class Strict(Versioned):
    """Wants to be told."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Refuses files without a version."""
        if version not in (1, 2):
            raise ValueError(f"version should be 1 or 2 instead of {version}")


class Swapped(Versioned):
    """Once had its two tensors the other way round."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Exchanges them."""
        if version is None or version < 2:
            one, other = prefix + "weight", prefix + "bias"
            state[one], state[other] = state[other], state[one]


class Renamed(Versioned):
    """Once had another name for its weight; files of today are not touched."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Renames what is there under the old name."""
        if (version is None or version < 2) and prefix + "gain" in state:
            state[prefix + "weight"] = state.pop(prefix + "gain")


class Copied(Versioned):
    """Copies its tensors, whatever the version."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Makes a new tensor of the same values."""
        state[prefix + "weight"] = state[prefix + "weight"].clone()


class Counting(Versioned):
    """Looks at values, of which a copy without memory has none."""

    def migrate(self, state: State, prefix: str, version: int | None) -> None:
        """Cannot be tried."""
        if version is None and float(state[prefix + "weight"].sum()) < 0:
            raise ValueError("negative")


def net(layer: type[Versioned]) -> nn.Sequential:
    """Returns a model with one such layer."""
    return nn.Sequential(nn.Linear(4, 4), layer())


def plain(model: nn.Module, path: Path) -> None:
    """Saves as people do who filter a state dict."""
    torch.save({key: value for key, value in model.state_dict().items()}, path)  # noqa: C416 - that is the point


def as_safetensors(model: nn.Module, path: Path) -> None:
    """Saves in a format that has no place for versions."""
    save_file(model.state_dict(), path)


def nested(model: nn.Module, path: Path) -> None:
    """Saves a training state, wrapped, its versions lost."""
    torch.save({"model": {f"module.{key}": value for key, value in model.state_dict().items()}, "epoch": 3}, path)


def whole(model: nn.Module, path: Path) -> None:
    """Saves as torch documents it, with the versions."""
    torch.save(model.state_dict(), path)


def wrapped(model: nn.Module, path: Path) -> None:
    """Saves the state of a wrapper around the model, with the versions."""
    torch.save({"model": nn.Sequential(model).state_dict()}, path)


def sealed(model: nn.Module, path: Path) -> None:
    """Saves with intact, which keeps versions."""
    intact.save(model, path)


def told(report: intact.Report) -> list[tuple[str, str]]:
    """Returns code and severity of what a report says of versions of classes."""
    codes = ("version/metadata-lost", "arch/custom-loader")
    return [(finding.code, finding.severity) for finding in report.findings if finding.code in codes]


@pytest.mark.parametrize("layer", [Shifted, InPlace, Swapped])
@pytest.mark.parametrize("save", [plain, as_safetensors, nested])
def test_values_that_torch_would_change_are_told(
    tmp_path: Path, layer: type[Versioned], save: Callable[[nn.Module, Path], None]
) -> None:
    """Nothing in the file tells old values from new ones; intact takes them as they are and says so."""
    source, target = net(layer), net(layer)
    save(source, tmp_path / "file.safetensors" if save is as_safetensors else tmp_path / "file.pth")
    path = next(tmp_path.iterdir())
    report = intact.check(path, target)
    assert told(report) == [("version/metadata-lost", "warning")]
    (finding,) = [f for f in report.findings if f.code == "version/metadata-lost"]
    assert f"`{layer.__name__}` (now 2)" in finding.headline
    assert "1.weight" in finding.evidence["changed"]
    assert "0.weight" not in finding.evidence["changed"]
    intact.load_into(target, path)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


@pytest.mark.parametrize("save", [plain, as_safetensors, nested])
def test_a_file_that_torch_refuses_for_its_lost_versions_is_repaired(
    tmp_path: Path, save: Callable[[nn.Module, Path], None]
) -> None:
    """Keys and shapes are those of the class as it is."""
    source, target = net(Strict), net(Strict)
    save(source, tmp_path / "file.safetensors" if save is as_safetensors else tmp_path / "file.pth")
    path = next(tmp_path.iterdir())
    with pytest.raises(Exception, match=r"version should be 1 or 2|Missing key"):
        target.load_state_dict(intact.read(path))
    report = intact.check(path, target)
    assert report.verdict == "repairable"
    assert ("version/metadata-lost", "error") in told(report)
    intact.load_into(target, path)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())
    intact.repair(path, tmp_path / "repaired.pth", net(Strict))
    assert intact.check(tmp_path / "repaired.pth", net(Strict)).verdict == "intact"
    net(Strict).load_state_dict(torch.load(tmp_path / "repaired.pth"))


@pytest.mark.parametrize("layer", [Versioned, Shifted, InPlace, Swapped, Strict, Renamed, Copied, Counting])
@pytest.mark.parametrize("save", [whole, wrapped, sealed])
def test_a_file_that_keeps_its_versions_has_lost_nothing(
    tmp_path: Path, layer: type[Versioned], save: Callable[[nn.Module, Path], None]
) -> None:
    """Wherever the state dict stands."""
    path = tmp_path / ("file.safetensors" if save is sealed else "file.pth")
    save(net(layer), path)
    assert told(intact.check(path, net(layer))) == []


@pytest.mark.parametrize("layer", [Versioned, Renamed, Copied, Counting])
def test_classes_to_which_the_version_makes_no_difference_are_not_told(tmp_path: Path, layer: type[Versioned]) -> None:
    """A migration that finds nothing old changes nothing."""
    plain(net(layer), tmp_path / "file.pth")
    report = intact.check(tmp_path / "file.pth", net(layer))
    assert (report.verdict, told(report)) == ("intact", [])


def test_the_version_of_a_pickled_model_is_not_asked_for(tmp_path: Path) -> None:
    """Its tensors are attributes of the objects as they were."""
    torch.save(net(Shifted), tmp_path / "whole.pt")
    assert told(intact.check(tmp_path / "whole.pt", net(Shifted))) == []


def test_a_file_of_an_older_version_is_not_loaded_as_it_is(tmp_path: Path) -> None:
    """Its values mean something else, and the class alone knows how to make new ones of them."""
    state: Any = net(Shifted).state_dict()
    state._metadata["1"]["version"] = 1
    torch.save(state, tmp_path / "old.pth")
    target = net(Shifted)
    report = intact.check(tmp_path / "old.pth", target)
    assert told(report) == [("arch/custom-loader", "error")]
    with pytest.raises(intact.LoadRefused):
        intact.load_into(target, tmp_path / "old.pth")
    target.load_state_dict(intact.read(tmp_path / "old.pth"))  # the way that the report names
    assert torch.equal(target.state_dict()["1.weight"], state["1.weight"] + 1)


def test_a_version_that_is_no_number_is_passed_over(tmp_path: Path) -> None:
    """Classes of the user's may keep anything under that name."""

    class Named(Shifted):
        _version = "two"  # type: ignore[assignment]

        def migrate(self, state: State, prefix: str, version: Any) -> None:
            """Changes nothing."""

    plain(net(Named), tmp_path / "file.pth")
    assert told(intact.check(tmp_path / "file.pth", net(Named))) == []
