"""`intact.load`: the same model again from nothing but the file and its class, in a new process too, or a refusal by name."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import intact


class Net(nn.Module):
    """A model with a callable, a keyword-only argument and a table outside of its state dict."""

    def __init__(self, width: int, act: type[nn.Module] = nn.GELU, *, drop: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), act(), nn.Dropout(drop), nn.BatchNorm1d(width))
        self.register_buffer("table", torch.arange(width).float(), persistent=False)

    table: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns what the layers make of it."""
        result: torch.Tensor = self.body(x * self.table)
        return result


def assert_same(one: nn.Module, other: nn.Module) -> None:
    """Asserts that two models hold the same bits under the same keys, and print alike."""
    assert repr(one) == repr(other)
    first, second = one.state_dict(), other.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first)


def test_a_model_comes_back_with_its_arguments_modes_and_frozen_parameters(tmp_path: Path) -> None:
    """What torch.save leaves to the memory of whoever loads."""
    model = Net(6, nn.SiLU, drop=0.25).eval()
    model.body[3].train()
    model.body[0].weight.requires_grad_(False)
    intact.save(model, tmp_path / "net.safetensors")
    again = intact.load(tmp_path / "net.safetensors", Net)
    assert_same(model, again)
    assert [module.training for module in again.modules()] == [module.training for module in model.modules()]
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in model.parameters()]
    assert torch.equal(again.eval()(torch.ones(2, 6)), model.eval()(torch.ones(2, 6)))


def test_a_set_of_shards_comes_back_under_the_name_it_was_saved_under(tmp_path: Path) -> None:
    """Whoever saved to a path loads from that path."""
    model = Net(40)
    intact.save(model, tmp_path / "net.safetensors", max_shard_bytes=2_000)
    assert not (tmp_path / "net.safetensors").exists()
    assert_same(model, intact.load(tmp_path / "net.safetensors", Net))
    assert_same(model, intact.load(tmp_path, Net))


def test_a_new_process_needs_the_file_and_the_class_alone(tmp_path: Path) -> None:
    """The class is imported by the user, never because the file names it."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\nclass Small(nn.Module):\n    def __init__(self, width, depth=1):\n        super().__init__()\n"
        "        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))\n"
    )
    save = "import intact; from net import Small; intact.save(Small(3, depth=2), 'small.safetensors')"
    load = "import intact; from net import Small; print(len(intact.load('small.safetensors', Small).layers))"
    bare = (
        "import intact, sys\ntry:\n    intact.load('small.safetensors')\nexcept intact.LoadRefused as error:\n"
        "    print('net' in sys.modules, 'net:Small' in str(error))"
    )
    for program, printed in ((save, ""), (load, "2"), (bare, "False True")):
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, printed), done.stderr


def test_layers_of_torch_need_no_class(tmp_path: Path) -> None:
    """A Sequential is described completely by its own parts."""
    model = nn.Sequential(nn.Conv2d(3, 4, (3, 5), padding="same"), nn.GroupNorm(2, 4), nn.PReLU(4))
    intact.save(model, tmp_path / "layers.safetensors")
    assert_same(model, intact.load(tmp_path / "layers.safetensors"))


def test_building_and_loading_move_no_random_number_generator(tmp_path: Path) -> None:
    """A load in the middle of training must not change what training draws next."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    before = torch.get_rng_state()
    intact.load(tmp_path / "net.safetensors", Net)
    assert torch.equal(before, torch.get_rng_state())


def test_a_damaged_file_gives_no_model(tmp_path: Path) -> None:
    """A model with one wrong weight is worse than none."""
    path = tmp_path / "net.safetensors"
    intact.save(Net(64), path)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(intact.LoadRefused) as caught:
        intact.load(path, Net)
    assert caught.value.report is not None
    assert [finding.code for finding in caught.value.report.findings] == ["file/checksum-mismatch"]


@pytest.mark.parametrize("sealed", [True, False])
def test_what_keeps_no_record_of_a_model_is_refused_with_the_way_out(sealed: bool, tmp_path: Path) -> None:
    """A state dict says nothing of its model; load_into is what fits."""
    path = tmp_path / ("state.safetensors" if sealed else "state.pth")
    if sealed:
        intact.save(Net(4).state_dict(), path)
    else:
        torch.save(Net(4).state_dict(), path)
    with pytest.raises(intact.LoadRefused, match="load_into"):
        intact.load(path, Net)


def changed(body: str) -> type[nn.Module]:
    """Returns a later version of the class `Net` of this module."""
    names: dict[str, object] = {"nn": nn, "torch": torch, "__name__": __name__}
    exec(f"class Net(nn.Module):\n{body}", names)
    return names["Net"]  # type: ignore[return-value]


LAYERS = (
    "        super().__init__()\n"
    "        self.body = nn.Sequential(nn.Linear(width, width), act(), nn.Dropout(drop), nn.BatchNorm1d(width))\n"
    "        self.register_buffer('table', torch.arange(width).float() * {}, persistent=False)\n"
)


def test_a_new_required_argument_is_refused_by_name(tmp_path: Path) -> None:
    """No value of it was ever recorded."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    later = changed("    def __init__(self, width, heads, act=nn.GELU, *, drop=0.1):\n" + LAYERS.format(1))
    with pytest.raises(intact.LoadRefused, match="`heads`") as caught:
        intact.load(tmp_path / "net.safetensors", later)
    assert caught.value.code == "arch/class-differs"


def test_an_argument_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    """What it did is done by nobody now."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    later = changed("    def __init__(self, width, act=nn.GELU):\n        drop = 0.1\n" + LAYERS.format(1))
    with pytest.raises(intact.LoadRefused, match="`drop`"):
        intact.load(tmp_path / "net.safetensors", later)


def test_another_default_and_a_new_argument_are_told_and_the_recorded_value_counts(tmp_path: Path) -> None:
    """The model is the one that was saved; that the class moved on is worth a word."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    later = changed("    def __init__(self, width, act=nn.GELU, *, drop=0.5, extra=None):\n" + LAYERS.format(1))
    with pytest.warns(intact.CheckpointWarning, match=r"`drop`.*`extra`") as told:
        again = intact.load(tmp_path / "net.safetensors", later)
    assert again.get_submodule("body.2").p == 0.1
    assert len(told) == 1


def test_a_table_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    """It is in no file: only the recorded digest shows that the class computes it otherwise now."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    later = changed("    def __init__(self, width, act=nn.GELU, *, drop=0.1):\n" + LAYERS.format(2))
    with pytest.warns(intact.CheckpointWarning, match="`table`"):
        intact.load(tmp_path / "net.safetensors", later)


def test_a_class_that_is_as_it_was_is_loaded_without_a_word(tmp_path: Path) -> None:
    """A warning for nothing teaches people to pass over warnings."""
    intact.save(Net(4), tmp_path / "net.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        intact.load(tmp_path / "net.safetensors", Net)


def test_a_model_that_cannot_be_built_again_is_said_when_it_is_saved(tmp_path: Path) -> None:
    """On the day it is needed is too late."""

    class Counted(nn.Module):
        def __init__(self, words: frozenset[str]) -> None:
            super().__init__()
            self.table = nn.Embedding(len(words), 2)

    model = Counted(frozenset({"a", "b"}))
    report = intact.save(model, tmp_path / "counted.safetensors")
    assert report.verdict == "intact"
    (finding,) = report.findings
    assert finding.code == "arch/not-rebuildable"
    assert "`words`" in finding.headline
    with pytest.raises(intact.LoadRefused, match="words"):
        intact.load(tmp_path / "counted.safetensors", Counted)
    fresh = Counted(frozenset({"c", "d"}))
    intact.load_into(fresh, tmp_path / "counted.safetensors")
    assert torch.equal(fresh.table.weight, model.table.weight)


def test_the_report_of_a_save_tells_of_the_save_and_of_no_load(tmp_path: Path) -> None:
    """Nothing was loaded yet, and a plan for a load would only confuse who reads it."""
    text = str(intact.save(Net(4), tmp_path / "net.safetensors"))
    assert "intact: everything that was found on the model was saved" in text
    model = nn.Sequential(nn.Linear(2, 2))
    model.extra = [nn.Linear(2, 2)]  # type: ignore[assignment]
    with pytest.raises(intact.LoadRefused):
        intact.save(model, tmp_path / "other.safetensors")
    text = str(intact.save(model, tmp_path / "other.safetensors", allow=["arch/unregistered-module"]))
    assert "lossy: saved, without" in text
    assert "load_into" not in text
    assert "arch/unregistered-module" in text
