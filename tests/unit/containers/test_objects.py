"""From objects to a description: keys, nests, modules, extras, and the limits of the walk."""

from __future__ import annotations

import collections
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intact.containers.memory import Held
from intact.containers.objects import walk
from intact.containers.pickles import load
from intact.containers.torch_legacy import nested_legacy
from intact.core.container import Foreign, TensorRecord
from intact.core.description import Description
from intact.errors import TooLarge


def described(value: Any) -> Description:
    """The description of an object that was pickled."""
    unpickled = load(pickle.dumps(value, 4), memory=Held("", nested_legacy))
    return walk(unpickled.value, unpickled.foreign, "").description


def record() -> TensorRecord:
    """A tensor without memory."""
    return TensorRecord(None, "float32", (2,), (1,))


class Net(nn.Module):
    """A module with everything a module can have."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.ReLU()})
        self.again = self.inner["a"]
        self.none: nn.Module | None
        self.register_module("none", None)
        self.register_parameter("p", None)
        self.q = nn.Parameter(torch.ones(1))
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("dropped", torch.ones(3), persistent=False)
        self.width = 7
        self.sizes = [1, (2, 3)]
        self.kind = torch.float16
        self.config = {"layers": 2, "cls": Net}
        self.plain_list = [torch.ones(4)]


def test_keys_are_paths_as_people_write_them() -> None:
    """The words of findings must be found in the user's own code."""
    t = torch.ones(1)
    description = described({"opt": {"state": {0: {"exp_avg": t}}}, "layers": [t, (t,)], 3: t, (1, "a"): t, None: t, b"b": t})
    keys = ["opt.state.0.exp_avg", "layers[0]", "layers[1][0]", "3", "(1, 'a')", "None", "b'b'"]
    assert list(description.tensors) == keys
    assert [info.nest for info in description.tensors.values()] == ["opt.state.0", "layers", "layers[1]", "", "", "", ""]
    assert [info.source for info in description.tensors.values()] == keys
    assert description.ties == (tuple(keys),)


def test_a_bare_tensor_has_the_empty_key() -> None:
    """There is no name to give it."""
    assert list(described(torch.ones(1)).tensors) == [""]


def test_two_paths_that_read_the_same_are_kept_apart() -> None:
    """`{"a.b": …, "a": {"b": …}}` is one key twice; neither tensor may be lost."""
    description = described({"a.b": torch.ones(1), "a": {"b": torch.ones(2)}, 1: torch.ones(3), "1": torch.ones(4)})
    assert {key: info.shape for key, info in description.tensors.items()} == {"a.b": (1,), "a.b#2": (2,), "1": (3,), "1#2": (4,)}


def test_a_pickled_module_is_described_as_its_state_dict() -> None:
    """The class may be gone, and the user wants the weights."""
    net = Net()
    description = described(net)
    assert list(description.tensors) == list(net.state_dict())
    assert {key: info.role for key, info in description.tensors.items()} == {
        "q": "parameter",
        "kept": "buffer",
        "inner.a.weight": "parameter",
        "again.weight": "parameter",
    }
    assert description.ties == (("inner.a.weight", "again.weight"),)
    assert list(description.absent) == ["dropped"]
    assert [extra.path for extra in description.extras] == []


def test_modules_have_class_children_and_plain_arguments() -> None:
    """Enough to say that a class was built with other arguments."""
    modules = described(Net()).modules
    assert list(modules) == ["", "inner", "inner.a", "inner.b", "again"]
    assert modules[""].children == ("inner", "again")
    assert modules[""].hyperparameters == {
        "training": True,
        "width": 7,
        "sizes": (1, (2, 3)),
        "kind": "float16",
        "config.layers": 2,
    }
    assert modules["inner.a"].class_name == "torch.nn.modules.linear.Linear"
    assert modules["inner.a"].hyperparameters == {"training": True, "in_features": 2, "out_features": 2}


def test_a_module_inside_a_checkpoint_is_one_nest() -> None:
    """Its keys are those of its state dict below the place where it stands."""
    description = described({"ema": [nn.Linear(1, 1)], "epoch": 3})
    assert {key: info.nest for key, info in description.tensors.items()} == {"ema[0].weight": "ema[0]", "ema[0].bias": "ema[0]"}
    assert list(description.modules) == ["ema[0]"]
    assert [(extra.path, extra.kind, extra.text) for extra in description.extras] == [("epoch", "int", "3")]


def test_entries_that_are_no_tensors_are_listed_in_short() -> None:
    """Epoch, options and histories; long ones are counted, not printed."""
    checkpoint = {
        "epoch": 3,
        "name": "x" * 1000,
        "lr": 0.5,
        "losses": list(range(100000)),
        "groups": [{"lr": 0.1, "params": [0, 1]}],
        "empty": {},
        "dtype": torch.bfloat16,
        "array": np.zeros((2, 3)),
        "scalar": np.float64(0.25),
        "args": collections.Counter(a=1),
        "storage": torch.ones(5, dtype=torch.int16).untyped_storage(),
        "big": 10**100000,
        "object": Net,
    }
    extras = {extra.path: (extra.kind, extra.text) for extra in described(checkpoint).extras}
    assert extras["epoch"] == ("int", "3")
    assert extras["name"][1].endswith("(1,000 characters)")
    assert extras["losses"] == ("list", "[0, 1, 2, 3, 4, 5, …] (100,000 items)")
    assert extras["groups[0].lr"] == ("float", "0.1")
    assert extras["groups[0].params"] == ("list", "[0, 1]")
    assert extras["empty"] == ("dict", "empty")
    assert extras["dtype"] == ("dtype", "bfloat16")
    assert extras["array"] == ("ndarray", "float64 [2, 3]")
    assert extras["scalar"] == ("numpy scalar", "0.25")
    assert extras["args.a"] == ("int", "1")
    assert extras["storage"] == ("storage", "uint8, 10 elements")
    assert extras["big"][1] == "<integer of 332,193 bits>"
    assert extras["object"] == ("name", f"{__name__}.Net")


def test_tensors_inside_other_objects_are_not_keys() -> None:
    """An optimizer object is no mapping; it is named instead."""
    description = walk({"sgd": Foreign("torch.optim.SGD", (), {"state": [record()]})}, (), "").description
    assert not description.tensors
    assert description.extras[0].text == "torch.optim.SGD"


def test_extra_state_is_told() -> None:
    """Modules may save what is no tensor."""
    assert described({"fc._extra_state": {"a": 1}, "bn._extra_state": 5}).extra_state == ("bn._extra_state",)


def test_versions_of_modules_stand_under_their_nest() -> None:
    """torch migrates by them, and they are lost when a state dict is copied into a plain dict."""
    state = nn.Sequential(nn.BatchNorm1d(1)).state_dict()
    assert described(state).metadata == {"": 1, "0": 2}
    assert described({"model": state}).metadata == {"model": 1, "model.0": 2}
    assert described(dict(state)).metadata == {}


def test_cycles_are_cut() -> None:
    """Checkpoints may hold themselves, and modules their parents."""
    around: dict[str, Any] = {"w": torch.ones(1)}
    around["self"] = around
    assert list(described(around).tensors) == ["w"]
    net = nn.Sequential(nn.Linear(1, 1))
    net[0].__dict__["_modules"]["parent"] = net
    assert list(described(net).tensors) == ["0.weight", "0.bias"]


def test_nesting_of_any_depth_is_cut() -> None:
    """Paths would grow with the square of the depth."""
    deep: Any = record()
    for _ in range(100000):
        deep = [deep]
    description = walk(deep, (), "").description
    assert not description.tensors
    assert len(description.extras) == 1
    net: Any = Foreign("Net", (), {"_parameters": {}, "_buffers": {}, "_modules": {}})
    for _ in range(20000):
        net = Foreign("Net", (), {"_parameters": {}, "_buffers": {}, "_modules": {"m": net}})
    assert len(walk(net, (), "").description.modules) == 500


@pytest.mark.timeout(30)
def test_more_paths_than_there_is_time_for_are_refused() -> None:
    """Ten lists of ten, sixty levels deep, lead to one tensor by more names than there are atoms."""
    shared: Any = [record()]
    for _ in range(60):
        shared = [shared] * 10
    with pytest.raises(TooLarge) as caught:
        walk(shared, (), "")
    assert caught.value.code == "safety/archive-bomb"
    with pytest.raises(TooLarge):
        walk({"k" * 100000: {f"n{i}": None for i in range(10000)}}, (), "")


def test_the_list_of_extras_is_bounded() -> None:
    """A dataset pickled beside the model has millions of entries."""
    extras = walk({str(i): i for i in range(20000)}, (), "").description.extras
    assert len(extras) == 10001
    assert extras[-1].text == "10,000 more entries"
