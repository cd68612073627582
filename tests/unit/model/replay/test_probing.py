"""Recording the behaviour of a model: whatever it takes and gives, and without leaving a trace on it."""

from __future__ import annotations

import random
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intact.core.probe import ABSENT, MOST_BYTES, Probe
from intact.model.replay.probe_inputs import arguments_of, decoded
from intact.model.replay.probing import Recorded, probe

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Answer:
    """What many models return."""

    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    note: str = "kept"


class Calling(nn.Module):
    """A model that does with its arguments whatever a test says."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.function = function
        self.calls = 0

    def forward(self, *args: Any, **keywords: Any) -> Any:
        COUNTED.append(self)
        return self.function(self, *args, **keywords)


COUNTED: list[nn.Module] = []
X = torch.arange(8.0).reshape(2, 4)


def recorded(model: nn.Module, inputs: Any) -> Probe:
    """Returns the record of a model that can be recorded."""
    made = probe(model, inputs)
    assert made.why_not == ""
    return Probe.from_json(made.text)


@pytest.mark.parametrize(
    ("inputs", "args", "keywords"),
    [
        ((X,), (X,), {}),
        (X, (X,), {}),
        ([X], ([X],), {}),
        ({"x": X}, (), {"x": X}),
        (((X,), {"scale": 2.0}), (X,), {"scale": 2.0}),
        ((X, {"mask": None}), (X, {"mask": None}), {}),
        ((), (), {}),
        ((["the", "cat"], None, 3, 2.5, True, {"a": (X, [1])}), (["the", "cat"], None, 3, 2.5, True, {"a": (X, [1])}), {}),
        (OrderedDict(x=X), (), {"x": X}),
    ],
)
def test_example_inputs_are_what_the_model_is_called_with(inputs: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """A tuple of arguments, a dict of keyword arguments, a pair of both, or a single argument."""
    given: list[Any] = []

    def forward(model: Calling, *args: Any, **keywords: Any) -> Any:
        given.append((args, keywords))
        return model.inner(X)

    made = recorded(Calling(forward), inputs)
    assert repr(given[0]) == repr((args, keywords))
    assert repr(decoded(made.inputs, torch.device("cpu"))) == repr((args, keywords))
    assert repr(arguments_of(inputs)) == repr((args, keywords))


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda y: y, {""}),
        (lambda y: (y, [y + 1]), {"[0]", "[1][0]"}),
        (lambda y: {"logits": y, "aux": {"loss": y.sum()}, "none": None}, {"logits", "aux.loss"}),
        (lambda y: Pair(y, y), {"left", "right"}),
        (lambda y: Answer(y, (y, y)), {"logits", "hidden[0]", "hidden[1]", "note"}),
        (lambda y: torch.distributions.Normal(y, 1.0), {"loc", "scale"}),
        (lambda y: (y, 3, "text"), {"[0]", "[1]", "[2]"}),
    ],
)
def test_every_leaf_of_the_output_is_kept_by_name(returned: Callable[[torch.Tensor], Any], names: set[str]) -> None:
    """Models return tensors, tuples, dicts, dataclasses, distributions, and all of these within each other."""
    made = recorded(Calling(lambda model, x: returned(model.inner(x))), (X,))
    found = {output.name for output in made.trace.outputs}
    assert found == names


def test_an_output_that_contains_itself_ends() -> None:
    """A cache may refer to what holds it."""

    def forward(model: Calling, x: torch.Tensor) -> Any:
        answer: dict[str, Any] = {"logits": model.inner(x)}
        answer["self"] = answer
        return answer

    assert [output.name for output in recorded(Calling(forward), (X,)).trace.outputs] == ["logits"]


def test_calls_are_kept_in_their_order_with_what_they_were_given_and_gave() -> None:
    """Where two runs part is found in them."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)))
    trace = recorded(model, (X,)).trace
    assert [trace.modules[call.module][0] for call in trace.calls] == ["", "0", "1", "1.0", "1.1"]
    assert [call.parent for call in trace.calls] == [ABSENT, 0, 0, 2, 2]
    assert trace.leaves("outputs", trace.calls[1]) != trace.leaves("outputs", trace.calls[3])  # it writes over its input
    assert trace.leaves("outputs", trace.calls[1])[""] == trace.leaves("inputs", trace.calls[3])["[0]"]
    assert trace.leaves("outputs", trace.calls[0]) == trace.leaves("outputs", trace.calls[4])


def test_a_shared_module_is_known_by_its_first_path_and_each_of_its_calls_is_kept() -> None:
    """Weights that are used twice are one module with two names."""
    shared = nn.Linear(4, 4)
    trace = recorded(nn.Sequential(shared, shared), (X,)).trace
    assert [trace.modules[call.module][0] for call in trace.calls] == ["", "0", "0"]


class Stateful(nn.Module):
    """A model whose `forward` touches everything that it can touch."""

    steps: torch.Tensor
    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(4))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.register_buffer("steps", torch.zeros(1))
        self.register_buffer("table", torch.ones(3), persistent=False)
        self.cache: dict[str, Any] = {"deep": {"list": [1, 2]}, "tensor": torch.zeros(2)}
        self.plain = torch.zeros(2)
        self.initialized = False
        self.generator = torch.Generator().manual_seed(3)
        self.numpy = np.random.default_rng(4)

    def forward(self, x: torch.Tensor) -> Any:
        assert not torch.is_grad_enabled()
        assert not self.training
        if not self.initialized:
            self.scale.data.copy_(x.std(0))
            self.initialized = True
        self.steps += 1
        self.table.mul_(2)
        self.plain.add_(1)
        self.plain = self.plain + 1
        self.frozen.requires_grad_(True)
        self.cache["deep"]["list"].append(random.random())
        self.cache["tensor"].add_(1)
        self.cache["new"] = self.made = x
        self.norm.weight.data = self.norm.weight.data * 2
        noise = torch.rand(4, generator=self.generator) + torch.rand(4) + float(self.numpy.normal()) + float(np.random.rand())
        x.mul_(2)
        return self.norm(x) * self.scale + noise


def portrait(model: Stateful) -> Any:
    """Everything that can be asked of the model and around it."""
    tensors = {
        **dict(model.named_parameters()),
        **dict(model.named_buffers()),
        "plain": model.plain,
        "cached": model.cache["tensor"],
    }
    return (
        {name: (id(t), t.data_ptr(), t.requires_grad, t.tolist()) for name, t in tensors.items()},
        {name: module.training for name, module in model.named_modules()},
        {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()},
        sorted(set(vars(model)) - {"cache"}),
        repr(model.cache),
        model.initialized,
        model.generator.get_state().tolist(),
        repr(model.numpy.bit_generator.state),
        torch.get_rng_state().tolist(),
        random.getstate(),
        repr(np.random.get_state()[1].tolist()),  # type: ignore[index]
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("training", [True, False])
def test_recording_leaves_no_trace(training: bool) -> None:
    """A save in the middle of training moves no random number, and what `forward` writes is put back bit for bit."""
    model = Stateful().train(training)
    model.norm.eval()
    calls: list[int] = []
    model.norm.register_forward_hook(lambda *given: calls.append(1))
    x = X.clone()
    before = portrait(model)
    made = recorded(model, (x,))
    assert portrait(model) == before
    assert x.equal(X)
    assert set(made.writes) == {"scale", "steps", "table", "norm.weight"}
    assert made.noise is not None
    assert len(calls) == 2


def test_a_model_that_raises_leaves_no_trace_either() -> None:
    """The save goes on, and says why nothing was recorded."""

    def forward(model: Calling, x: torch.Tensor) -> Any:
        model.inner.weight.data.fill_(9)
        torch.rand(3)
        raise ValueError("no such\nword")

    model = Calling(forward)
    weight, state = model.inner.weight.clone(), torch.get_rng_state()
    made = probe(model, (X,))
    assert made == Recorded(why_not="`Calling` raises ValueError: no such word")
    assert model.inner.weight.equal(weight)
    assert torch.get_rng_state().equal(state)
    assert not model.inner._forward_hooks


def test_a_model_that_is_spread_over_processes_is_not_run() -> None:
    """This process would wait for the others for ever."""

    class FullyShardedDataParallel(Calling):
        pass

    made = probe(nn.Sequential(FullyShardedDataParallel(lambda model, x: x)), (X,))
    assert "several processes" in made.why_not


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ((object(),), "`argument 0` is a `builtins.object`"),
        ({"x": np.zeros(3)}, "`x` is a `numpy.ndarray`"),
        ((torch.zeros(400, 400),), "640,000 bytes"),
        ((torch.zeros(100_000), torch.zeros(100_000)), "800,000 bytes or more"),
        (("a" * (MOST_BYTES + 10),), "1,048,576 are kept"),
    ],
)
def test_inputs_that_cannot_be_stored_are_said_so(inputs: Any, reason: str) -> None:
    """Nothing else would tell that `check` has nothing to replay."""
    made = probe(Calling(lambda model, x: model.inner(X)), inputs)
    assert made.text == ""
    assert made.why_not.startswith("the inputs cannot be stored: ")
    assert reason in made.why_not


def test_a_record_stays_within_its_size_and_keeps_the_outermost_calls() -> None:
    """A model of thousands of layers has a record as well, of its blocks."""
    blocks = [nn.Sequential(*[nn.Linear(4, 4) for _ in range(70)]) for _ in range(120)]
    made = probe(nn.Sequential(*blocks), (X,))
    trace = Probe.from_json(made.text).trace
    assert len(made.text) <= MOST_BYTES
    assert trace.cut
    assert len(trace.calls) == 121


def test_a_usual_model_takes_tens_of_kilobytes() -> None:
    """The record lies in the header of a file that everybody reads."""
    layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(24)]
    made = probe(nn.Sequential(*layers).eval(), (torch.randn(2, 5, 16),))
    assert len(Probe.from_json(made.text).trace.calls) > 200
    assert len(made.text) < 80_000


@pytest.mark.parametrize(
    ("noise", "passes"),
    [
        (lambda x: x, 1),
        (lambda x: x + torch.rand(4), 2),
        (lambda x: x + random.random(), 2),
        (lambda x: x + float(np.random.rand()), 2),
        (lambda x: nn.functional.dropout(x, 0.5), 2),
    ],
)
def test_a_model_is_run_again_only_where_something_was_drawn(noise: Callable[[torch.Tensor], torch.Tensor], passes: int) -> None:
    """Saving costs two runs at most, and one where the second could only repeat the first."""
    COUNTED.clear()
    model = nn.Sequential(nn.Linear(4, 4), Calling(lambda model, x: noise(model.inner(x))))
    made = recorded(model, (X,))
    assert len(COUNTED) == passes
    assert (made.noise is not None) == (passes == 2)
    if made.noise is not None:
        assert made.noise.path == "1"
        assert set(made.noisy) <= set("0123")
        assert made.unsteady == ("",)


class Clock(nn.Module):
    """Entropy of its own, of which no generator that others share knows."""

    def forward(self, x: torch.Tensor) -> Any:
        return x + float(np.random.default_rng().normal())


def test_entropy_of_a_models_own_is_noticed_by_name() -> None:
    """`default_rng()` without a seed draws from the system."""
    made = recorded(nn.Sequential(nn.Linear(4, 4), Clock()), (X,))
    assert made.noise is not None
    assert made.noise.path == "1"


def test_what_is_drawn_and_makes_no_difference_is_no_noise() -> None:
    """A generator that is set at the beginning of each call gives the same numbers."""

    def forward(model: Calling, x: torch.Tensor) -> Any:
        torch.manual_seed(0)
        return model.inner(x) + torch.rand(4)

    assert recorded(Calling(forward), (X,)).noise is None


def test_a_compiled_model_is_run_as_it_was_written() -> None:
    """Compiling takes a minute, and compiled code calls no hooks."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    trace = recorded(torch.compile(model), (X,)).trace  # type: ignore[arg-type]
    assert [path for path, _ in trace.modules] == ["", "0", "1"]


def test_autocast_around_a_save_does_not_reach_the_recorded_run() -> None:
    """A save from within a training step would record half precision, and the replay would differ."""
    model = nn.Linear(4, 4)
    plain = recorded(model, (X,))
    with torch.autocast("cpu", torch.bfloat16):
        assert recorded(model, (X,)) == plain


def test_a_model_with_inference_tensors_is_recorded() -> None:
    """Such tensors count no writes."""
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
        assert len(recorded(model, (X,)).trace.calls) == 3


def test_large_plain_attributes_are_kept_by_their_content() -> None:
    """A vocabulary that was made from a set is another one in the next process."""
    model = Calling(lambda model, x: model.inner(x))
    model.vocab = {"the": 0, "cat": 1}  # type: ignore[assignment]
    model.words = [str(number) for number in range(100)]  # type: ignore[assignment]
    model.seen = {3, 1, 2}  # type: ignore[assignment]
    model.objects = {"a": object()}  # type: ignore[assignment]
    tables = {table.name: table for table in recorded(model, (X,)).tables}
    assert set(tables) == {"vocab", "words", "seen"}
    assert tables["vocab"].head == ("'the': 0", "'cat': 1")
    assert tables["words"].count == 100
