"""A check that runs the model: what it says, and that the model does not notice."""

from __future__ import annotations

import json
import random
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.containers import open_container
from intact.core.report import Report
from intact.model.contents import contents_of
from intact.sealing import write

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """A model with what changes between two runs of a program."""

    def __init__(self, slope: float = 0.1, words: tuple[str, ...] = ("a", "b"), theta: float = 10.0) -> None:
        super().__init__()
        self.body, self.act = nn.Linear(8, 8), nn.LeakyReLU(slope)
        self.norm, self.drop, self.head = nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)
        self.vocab = {word: number for number, word in enumerate(words)}
        self.theta = theta
        self.register_buffer("table", theta ** -torch.linspace(0, 1, 8), persistent=False)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.drop(self.norm(self.act(self.body(x)) * self.table))) + self.vocab["a"]


def sealed(folder: Path, model: nn.Module | None = None, inputs: Any = (X,)) -> Path:
    """Returns the path of a model that was saved with example inputs."""
    torch.manual_seed(0)
    path = folder / "net.safetensors"
    intact.save(model if model is not None else Net().eval(), path, example_inputs=inputs)
    return path


def codes(report: Report, severity: str = "warning") -> set[str]:
    """Returns the codes of findings of one severity."""
    return {finding.code for finding in report.findings if finding.severity == severity}


def finding(report: Report, code: str) -> intact.Finding:
    """Returns the finding of a code."""
    return next(found for found in report.findings if found.code == code)


def test_a_fresh_model_of_the_same_arguments_is_intact(tmp_path: Path) -> None:
    """The usual case: nothing to say, whatever values the fresh model has."""
    report = intact.check(sealed(tmp_path), Net().eval())
    assert report.verdict == "intact"
    assert report.findings == ()


def test_a_check_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    """It has other weights than the file, is in the middle of training, and all of that is put back bit for bit."""
    path, model = sealed(tmp_path), Net()
    model(X).sum().backward()
    model.norm.eval()
    before = {key: (t.data_ptr(), t.clone()) for key, t in model.state_dict(keep_vars=True).items()}
    gradients = [parameter.grad for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    state, plain = torch.get_rng_state(), random.getstate()
    intact.check(path, model)
    after = model.state_dict(keep_vars=True)
    assert all(after[key].data_ptr() == place and after[key].equal(value) for key, (place, value) in before.items())
    assert all(one is other for one, other in zip(gradients, (p.grad for p in model.parameters()), strict=True))
    assert [module.training for module in model.modules()] == modes
    assert torch.get_rng_state().equal(state)
    assert random.getstate() == plain
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_without_example_inputs_nothing_is_run(tmp_path: Path) -> None:
    """A forward pass may take minutes, or send a request."""

    class Loud(nn.Linear):
        def forward(self, x: torch.Tensor) -> Any:
            raise AssertionError("it was run")

    path = tmp_path / "loud.safetensors"
    intact.save(Loud(2, 2), path)
    assert intact.check(path, Loud(2, 2)).verdict == "intact"
    with closing(open_container(path)) as container:
        assert container.manifest.probe == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "module", "name"),
    [
        (Net(slope=0.3), "act", "negative_slope"),
        (Net(words=("b", "a")), "", "vocab"),
    ],
)
def test_a_hyperparameter_is_named_with_the_module_where_the_runs_part(
    tmp_path: Path, model: Net, module: str, name: str
) -> None:
    """All keys match, and the outputs are wrong."""
    report = intact.check(sealed(tmp_path), model.eval())
    found = finding(report, "arch/hyperparameter-differs")
    assert report.verdict == "suspect"
    assert found.severity == "warning"
    assert found.evidence["parts_at"] == module
    assert found.evidence["changes"][0]["name"] == name
    assert codes(report) & {"behaviour/diverges-at-module", "behaviour/output-differs"}


def test_a_table_outside_of_the_state_dict_is_named(tmp_path: Path) -> None:
    """It was computed from another base, and no key speaks of it."""
    report = intact.check(sealed(tmp_path), Net(theta=20.0).eval())
    assert finding(report, "arch/non-persistent-buffer").keys == ("table",)
    assert codes(report) >= {"arch/non-persistent-buffer", "arch/hyperparameter-differs"}


def test_a_hyperparameter_without_effect_is_information(tmp_path: Path) -> None:
    """The rate of a dropout is nothing to a model in eval mode."""
    model = Net().eval()
    model.drop.p = 0.9
    report = intact.check(sealed(tmp_path), model)
    assert report.verdict == "intact"
    assert codes(report, "info") == {"arch/hyperparameter-differs"}


def test_a_model_in_training_mode_is_told_what_that_does(tmp_path: Path) -> None:
    """`eval()` was forgotten, and both kinds of layers are named in the order in which they are called."""
    report = intact.check(sealed(tmp_path), Net())
    assert codes(report) == {"behaviour/dropout-active", "behaviour/batchnorm-training"}
    assert finding(report, "behaviour/dropout-active").evidence["modules"] == [["drop", "Dropout"]]
    assert finding(report, "behaviour/batchnorm-training").evidence["modules"] == [["norm", "BatchNorm1d"]]


def test_a_model_that_was_saved_in_training_mode_is_left_in_it(tmp_path: Path) -> None:
    """Training goes on from there; the mode is as it was."""
    assert intact.check(sealed(tmp_path, Net().train()), Net()).verdict == "intact"


def test_a_batch_that_training_mode_refuses_is_told(tmp_path: Path) -> None:
    """A single image has no variance."""
    report = intact.check(sealed(tmp_path, inputs=(X[:1],)), Net())
    assert "more than 1 value per channel" in finding(report, "behaviour/batchnorm-training").cause


def test_load_replays_and_says_nothing_of_a_model_that_is_the_same(tmp_path: Path) -> None:
    """It comes in the mode of the save; a warning here would be heard at every start."""
    path = sealed(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = intact.load(path, Net)
    assert not model.training
    report = intact.load_into(Net().eval(), path)
    assert report.verdict == "intact"


def test_load_warns_of_a_class_that_computes_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All arguments are as recorded, and the code is not."""
    path = sealed(tmp_path)
    monkeypatch.setattr(Net, "forward", lambda self, x: self.head(self.body(x)))
    with pytest.warns(intact.CheckpointWarning, match="behaviour/output-differs"):
        intact.load(path, Net)


def test_a_model_that_is_loaded_keeps_the_values_although_its_forward_writes_into_them(tmp_path: Path) -> None:
    """The replay after a load has no copy to go back to, and asks the file again."""

    class Act(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.done = nn.Parameter(torch.ones(8)), False

        def forward(self, x: torch.Tensor) -> Any:
            if not self.done:
                self.scale.data.copy_(x.std(0))
                self.done = True
            return x * self.scale

    original = Act()
    original.scale.data.fill_(3.0)
    original.done = True
    path, model = sealed(tmp_path, original), Act()
    report = intact.load_into(model, path)
    assert codes(report) >= {"behaviour/forward-changes-state", "behaviour/output-differs"}
    assert finding(report, "behaviour/forward-changes-state").keys == ("scale",)
    assert model.scale.tolist() == [3.0] * 8
    assert model.done is False


@pytest.mark.parametrize("wrapped_then", [False, True])
def test_a_wrapper_around_the_model_makes_no_difference(tmp_path: Path, wrapped_then: bool) -> None:
    """Names begin with `module.` on one side only; the module inside is the same."""
    one, other = nn.DataParallel(Net()).eval(), Net().eval()
    then, now = (one, other) if wrapped_then else (other, one)
    report = intact.check(sealed(tmp_path, then), now)
    assert codes(report) == set()
    assert codes(report, "error") == {"arch/key-prefix"}


def test_weights_that_do_not_load_without_loss_are_not_run(tmp_path: Path) -> None:
    """Other outputs would be no news."""
    model = Net().eval()
    model.head = nn.Linear(8, 5)
    report = intact.check(sealed(tmp_path), model)
    assert "do not load without loss" in finding(report, "behaviour/not-probed").headline
    assert not codes(report, "warning") & {"behaviour/output-differs", "behaviour/diverges-at-module"}


def test_a_model_without_memory_is_not_run(tmp_path: Path) -> None:
    """It is on the meta device, to look at its keys."""
    with torch.device("meta"):
        model = Net().eval()
    report = intact.check(sealed(tmp_path), model)
    assert codes(report) == set()
    assert all(tensor.is_meta for tensor in model.state_dict().values())


def test_a_model_that_raises_now_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another signature, say."""
    path = sealed(tmp_path)
    monkeypatch.setattr(Net, "forward", lambda self, x, mask: x)
    report = intact.check(path, Net().eval())
    assert "missing 1 required positional argument" in finding(report, "behaviour/output-differs").headline


def test_a_save_that_cannot_record_goes_on_and_says_so(tmp_path: Path) -> None:
    """The weights are what matters."""
    path = tmp_path / "net.safetensors"
    report = intact.save(Net().eval(), path, example_inputs=(object(),))
    assert report.verdict == "intact"
    assert "cannot be stored" in finding(report, "behaviour/not-probed").headline
    assert intact.check(path, Net().eval()).findings == ()


def test_example_inputs_without_a_model_are_refused(tmp_path: Path) -> None:
    """A state dict cannot be run, and to pass that over would promise what is not there."""
    with pytest.raises(intact.IntactError, match="need a model to run"):
        intact.save(Net().state_dict(), tmp_path / "net.safetensors", example_inputs=(X,))


def with_probe(path: Path, **changes: Any) -> None:
    """Writes the checkpoint anew with another record of its behaviour."""
    with closing(open_container(path)) as container:
        manifest = container.manifest  # type: ignore[attr-defined]
    data = json.loads(manifest.probe) | changes
    records = {"architecture": manifest.architecture, "environment": manifest.environment, "probe": json.dumps(data)}
    model = Net().eval()
    intact.load_into(model, path)
    write(path, contents_of(model), records)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 9}, "version 9"),
        ({"seed": "x"}, "cannot be read"),
        ({"inputs": 3}, "malformed"),
        ({"inputs": [[{"$tensor": ["float32", [2**40], "AAAA"]}], []]}, "3 bytes for shape"),
        ({"inputs": [[{"$tensor": ["Tensor", [1], "AAAA"]}], []]}, "no dtype"),
        ({"inputs": [[], [[1, 2]]]}, "keyword is no text"),
        ({"inputs": [[{"$tensor": ["uint8", [1_000_002], "AAAA" * 333_334]}], []]}, "are the limit"),
    ],
)
def test_a_record_that_cannot_be_used_is_said_so_and_ends_nothing(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """The weights load all the same; and whoever wrote the file chooses neither memory nor code."""
    path = sealed(tmp_path)
    with_probe(path, **changes)
    report = intact.check(path, Net().eval())
    assert reason in finding(report, "behaviour/not-probed").headline
    assert report.verdict == "intact"


def test_noise_that_shows_only_in_a_replay_is_told_from_a_change(tmp_path: Path) -> None:
    """Its source is one that nobody can look at."""
    numbers = iter(range(1, 100))

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.odd = nn.Linear(8, 8), Counted()

        def forward(self, x: torch.Tensor) -> Any:
            return self.odd(self.inner(x))

    class Counted(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x * next(numbers)

    report = intact.check(sealed(tmp_path, Odd().eval()), Odd().eval())
    assert codes(report) == {"behaviour/nondeterministic"}
    assert finding(report, "behaviour/nondeterministic").evidence["module"] == "odd"


def test_another_environment_is_named_where_nothing_else_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights, attributes and sources, under another release."""
    path = sealed(tmp_path)
    monkeypatch.setattr(nn.LeakyReLU, "forward", lambda self, x: x)
    monkeypatch.setattr("intact.rehearsal._environment", lambda examination, model: ("torch was 2.4.0 and is 2.13.0",))
    report = intact.check(path, Net().eval())
    assert finding(report, "behaviour/diverges-at-module").evidence["module"] == "act"
    assert "the environment is another: torch was 2.4.0" in finding(report, "behaviour/diverges-at-module").cause
    assert "arch/hyperparameter-differs" not in {found.code for found in report.findings}


def test_a_sharded_set_is_replayed_too(tmp_path: Path) -> None:
    """The record stands in the index."""
    torch.manual_seed(0)
    intact.save(Net().eval(), tmp_path / "set", example_inputs=(X,), max_shard_bytes=300)
    report = intact.check(tmp_path / "set", Net(slope=0.4).eval())
    assert finding(report, "behaviour/diverges-at-module").evidence["module"] == "act"


def test_a_cast_that_loses_nothing_is_replayed_within_rounding(tmp_path: Path) -> None:
    """A model in double precision computes what one in single precision computed."""
    report = intact.check(sealed(tmp_path, inputs={"x": X}), Net().eval().to(torch.float64))
    assert not codes(report) & {"behaviour/output-differs", "behaviour/diverges-at-module"}
