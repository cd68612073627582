"""The verbs, end to end, on real files and real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import intact
from intact.core.codes import CODES


class Net(nn.Module):
    """A body, a head, and a buffer that learns."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
        self.head = nn.Linear(5, classes)


def _saved(path: Path, model: nn.Module) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return dict(state)


def _bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def _equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_check_changes_nothing_and_load_into_loads_bit_for_bit(tmp_path: Path) -> None:
    """The first two commands that a person in trouble gives."""
    original = _saved(tmp_path / "a.pth", Net())
    model = Net()
    before = _bits(model)
    assert intact.check(tmp_path / "a.pth", model).verdict == "repairable"
    assert _equal(model, before)
    report = intact.load_into(model, tmp_path / "a.pth")
    assert _equal(model, original)
    assert report.matched_keys == len(original)


def test_a_refused_load_leaves_the_model_and_prints_the_report(tmp_path: Path) -> None:
    """Nothing is lost without the user's word, and the error says what would be."""
    _saved(tmp_path / "a.pth", Net(classes=7))
    model = Net()
    before = _bits(model)
    with pytest.raises(intact.LoadRefused, match="arch/resized-head") as caught:
        intact.load_into(model, tmp_path / "a.pth")
    assert _equal(model, before)
    assert caught.value.report is not None
    assert caught.value.report.verdict == "lossy"
    assert "head.weight" in str(caught.value)


def test_what_is_allowed_is_loaded_and_the_rest_is_kept(tmp_path: Path) -> None:
    """A new head keeps its fresh values, the body gets the file's."""
    original = _saved(tmp_path / "a.pth", Net(classes=7))
    model = Net()
    before = _bits(model)
    intact.load_into(model, tmp_path / "a.pth", allow=["arch/resized-head"])
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith("head") else original[key]), key


def test_allowing_one_loss_does_not_allow_another(tmp_path: Path) -> None:
    """Half precision was not what the user gave their word for."""
    _saved(tmp_path / "a.pth", Net(classes=7))
    model = Net().half()
    with pytest.raises(intact.LoadRefused, match="dtype/"):
        intact.load_into(model, tmp_path / "a.pth", allow=["arch/resized-head"])


def test_a_code_that_does_not_exist_is_not_an_allowance(tmp_path: Path) -> None:
    """A typing error in `allow` must be heard."""
    _saved(tmp_path / "a.pth", Net())
    with pytest.raises(intact.IntactError, match="did you mean arch/resized-head"):
        intact.load_into(Net(), tmp_path / "a.pth", allow=["arch/resised-head"])


def test_the_user_names_the_place_where_several_fit(tmp_path: Path) -> None:
    """Two networks of one class: nothing is chosen, until somebody chooses."""
    first, second = Net(), Net()
    torch.save({"a": first.state_dict(), "b": second.state_dict()}, tmp_path / "two.pth")
    report = intact.check(tmp_path / "two.pth", Net())
    assert report.verdict == "lossy"
    assert report.findings[0].evidence["candidates"] == ["a", "b"]
    with pytest.raises(intact.LoadRefused):
        intact.load_into(Net(), tmp_path / "two.pth")
    model = Net()
    intact.load_into(model, tmp_path / "two.pth", at="b")
    assert _equal(model, _bits(second))
    with pytest.raises(intact.IntactError, match="no place named"):
        intact.check(tmp_path / "two.pth", Net(), at="c")


def test_a_factory_is_as_good_as_a_model(tmp_path: Path) -> None:
    """`check` builds it; what builds no module is named."""
    _saved(tmp_path / "a.pth", Net())
    assert intact.check(tmp_path / "a.pth", Net).target is not None
    for wrong in (lambda: 3, "Net", 7):
        with pytest.raises(intact.ModelError):
            intact.check(tmp_path / "a.pth", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fixed.pth", "fixed.safetensors"])
def test_repair_writes_a_file_that_torch_itself_loads(tmp_path: Path, name: str) -> None:
    """The corrected copy needs intact no longer."""
    original = _saved(tmp_path / "a.pth", Net())
    report = intact.repair(tmp_path / "a.pth", tmp_path / name, Net)
    assert report.verdict == "intact"
    state = intact.read(tmp_path / name)
    model = Net()
    assert not model.load_state_dict(state).missing_keys
    assert _equal(model, original)


def test_a_file_that_cannot_be_opened_is_a_result_of_check_and_an_error_of_read(tmp_path: Path) -> None:
    """A bad checkpoint is what `check` is for; `read` has nothing to return."""
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html><html><head><title>Sign in</title></head></html>")
    report = intact.check(path, Net())
    assert report.verdict == "damaged"
    assert [finding.code for finding in report.findings] == ["file/web-page"]
    with pytest.raises(intact.CannotRead, match="Sign in"):
        intact.read(path)
    with pytest.raises(intact.LoadRefused):
        intact.load_into(Net(), path)


def test_a_path_where_nothing_is_cannot_be_looked_at(tmp_path: Path) -> None:
    """That is not a verdict on a checkpoint."""
    with pytest.raises(intact.CannotRead, match="no such file"):
        intact.check(tmp_path / "nothing.pth")


def test_the_json_of_a_report_is_complete(tmp_path: Path) -> None:
    """Tools get every key, and the plan."""
    _saved(tmp_path / "a.pth", Net())
    data = json.loads(intact.check(tmp_path / "a.pth", Net()).to_json())
    assert (data["schema"], data["verdict"], data["target"]["class"]) == (1, "repairable", "Net")
    assert data["source"]["container"] == "torch-zip"
    prefix = next(finding for finding in data["findings"] if finding["code"] == "arch/key-prefix")
    assert prefix["key_count"] == len(prefix["keys"]) == 9
    assert [step["kind"] for step in data["plan"]["steps"]] == ["unnest", "rename"]
    assert data["plan"]["lossless"] is True


def test_a_whole_model_of_a_class_that_is_gone_loads(tmp_path: Path) -> None:
    """Only the tensors and their names are needed, not the code."""
    model = Net()
    torch.serialization.set_crc32_options(False)  # the file is changed below
    torch.save(model, tmp_path / "whole.pt")
    torch.serialization.set_crc32_options(True)
    raw = (tmp_path / "whole.pt").read_bytes().replace(b"test_api\n", b"gone_now\n")
    (tmp_path / "moved.pt").write_bytes(raw)
    fresh = Net()
    report = intact.load_into(fresh, tmp_path / "moved.pt")
    assert "arch/whole-model-pickle" in {finding.code for finding in report.findings}
    assert _equal(fresh, _bits(model))


@pytest.mark.parametrize("code", sorted(CODES))
def test_explain_gives_the_page(code: str) -> None:
    """The same text as the documentation, for every code that there is."""
    page = intact.explain(code)
    assert all(f"## {heading}" in page for heading in ("Cause", "Example", "Fix", "Look-alike", "Source"))


def test_a_code_without_a_page_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are permanent, and a later version may know one that this one never reports."""
    monkeypatch.setattr("intact.rules.PAGES", {})
    with pytest.raises(intact.IntactError, match="no page yet"):
        intact.explain("arch/key-prefix")


def test_a_file_may_be_saved_over_while_its_tensors_are_in_use(tmp_path: Path) -> None:
    """Read, change, save to the same path is what people do; tensors that were views of the file would end the process."""
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(100_000.0), "epoch": 1}, path)
    state = intact.read(path)
    torch.save({**state, "epoch": 2}, path)
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(state["w"], torch.arange(100_000.0))


def test_a_mapped_file_is_not_changed_by_changing_its_tensors(tmp_path: Path) -> None:
    """A view of the file is a private one."""
    path = tmp_path / "a.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    before = path.read_bytes()
    state = intact.read(path, mmap=True)
    state["w"].add_(1)
    assert float(state["w"].sum()) == 1000
    assert path.read_bytes() == before
