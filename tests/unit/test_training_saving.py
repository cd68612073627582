"""Saving training state: whole or not at all, nothing of the user's removed, nothing pickled."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intact


class Holder:
    """An object with a state of any kind."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        """Returns the state."""
        return self.state


def roundtrip(state: Any, path: Path) -> Any:
    """Returns a state as it comes back from a folder."""
    intact.save({"holder": Holder(state)}, path)
    return intact.read(path)["holder"]


def test_plain_state_comes_back_with_its_types(tmp_path: Path) -> None:
    """A tuple that comes back as a list, or a key 1 as "1", breaks the code that reads it."""
    state = {
        "counts": Counter({3: 2, "a": 1}),
        "ordered": OrderedDict(b=1, a=(2, None)),
        1: {0.5: [True, b"x", complex(1, 2)]},
        "set": {1, 2},
        "large": 10**30,
        "nan": float("inf"),
    }
    back = roundtrip(state, tmp_path / "run")
    assert back == state
    assert type(back["counts"]) is Counter
    assert type(back["ordered"]) is OrderedDict


def test_numbers_of_numpy_come_back_as_numbers(tmp_path: Path) -> None:
    """`best` is often what numpy's mean gave."""
    back = roundtrip({"best": np.float64(0.25), "count": np.int64(3), "by": defaultdict(int, a=1)}, tmp_path / "run")
    assert back == {"best": 0.25, "count": 3, "by": {"a": 1}}
    assert type(back["best"]) is float


def test_tensors_come_back_bit_for_bit_and_shared_ones_once(tmp_path: Path) -> None:
    """Small ones stand in the index, large ones in the file, views and other layouts as what they show."""
    large, half = torch.randn(8, 9), torch.randn(30).bfloat16()
    state = {"step": torch.tensor(3.0), "large": large, "again": large, "turned": large.t(), "list": [half, {"x": half[:5]}]}
    back = roundtrip(state, tmp_path / "run")
    assert torch.equal(back["large"], large)
    assert back["again"] is back["large"]
    assert torch.equal(back["turned"], large.t())
    assert torch.equal(back["list"][1]["x"], half[:5])
    assert back["step"].dtype == torch.float32


@pytest.mark.parametrize(
    "value", [object(), lambda: 0, np.zeros(3), torch.device("cpu")], ids=["object", "function", "array", "device"]
)
def test_what_has_no_plain_form_is_refused_by_name(tmp_path: Path, value: object) -> None:
    """Nothing is pickled, so that nothing has to be trusted; and nothing is written."""
    with pytest.raises(intact.IntactError, match=r"holder.*\['inner'\]"):
        intact.save({"holder": Holder({"inner": value})}, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_save_replaces_the_one_before_it(tmp_path: Path) -> None:
    """Parts that are there no more go with it."""
    net = nn.Linear(2, 2)
    intact.save({"model": net, "extra": Holder(torch.ones(40)), "step": 1}, tmp_path / "run")
    intact.save({"model": net, "step": 2}, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model.safetensors", "state.json"]
    assert intact.read(tmp_path / "run")["step"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_with_other_things_in_it_is_not_replaced(tmp_path: Path) -> None:
    """Switching it over as a whole would remove somebody's notes."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(intact.IntactError, match=r"notes\.txt"):
        intact.save({"model": nn.Linear(2, 2), "step": 1}, tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_an_existing_save_stays_where_overwriting_is_not_wanted(tmp_path: Path) -> None:
    """As for a model alone."""
    intact.save({"model": nn.Linear(2, 2), "step": 1}, tmp_path / "run")
    with pytest.raises(intact.IntactError, match="exists already"):
        intact.save({"model": nn.Linear(2, 2), "step": 2}, tmp_path / "run", overwrite=False)
    assert intact.read(tmp_path / "run")["step"] == 1


@pytest.mark.parametrize("name", ["run.pt", "run.safetensors", "taken"])
def test_a_path_that_is_or_promises_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Training state is a folder."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(intact.IntactError, match="saved as a folder"):
        intact.save({"model": nn.Linear(2, 2), "step": 1}, tmp_path / name)


def test_names_that_no_file_can_have_are_kept_in_the_index(tmp_path: Path) -> None:
    """The user's names are the user's; files have names of their own, none twice."""
    names = ["a/b", "a_b", "A_B", "..", "größe"]
    intact.save({name: nn.Linear(2, 2) for name in names}, tmp_path / "run")
    assert list(intact.read(tmp_path / "run")) == names
    assert len(list((tmp_path / "run").glob("*.safetensors"))) == len(names)


def test_a_state_dict_is_saved_as_ever(tmp_path: Path) -> None:
    """A mapping of tensors, with extra state among them, is a model's and no training state."""
    state = {**nn.Linear(2, 2).state_dict(), "_extra_state": {"x": torch.ones(1)}}
    intact.save(state, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").is_file()


def test_state_dicts_of_objects_are_training_state_too(tmp_path: Path) -> None:
    """People collect them before they save."""
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    intact.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}, tmp_path / "run")
    other = nn.Linear(2, 2)
    target = {"model": other, "optimizer": torch.optim.SGD(other.parameters(), 0.1), "step": 0}
    assert intact.load_into(target, tmp_path / "run").verdict == "intact"
    assert torch.equal(other.weight, net.weight)


def test_what_an_audit_finds_is_said_of_the_part(tmp_path: Path) -> None:
    """A layer in a plain list would not survive, whichever model it is in."""

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(2, 2)]
            self.head = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.layers[0](x))
            return out

    with pytest.raises(intact.LoadRefused, match="arch/unregistered-module"):
        intact.save({"good": nn.Linear(2, 2), "bad": Hidden()}, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [{"max_shard_bytes": 10}, {"example_inputs": (torch.ones(2, 2),)}])
def test_an_option_of_a_model_alone_is_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    """Ignoring it would be a promise that is not kept."""
    with pytest.raises(intact.IntactError, match=next(iter(option))):
        intact.save({"model": nn.Linear(2, 2), "step": 1}, tmp_path / "run", **option)


def test_a_save_whose_index_is_damaged_is_replaced(tmp_path: Path) -> None:
    """The run must go on saving, and nobody needs the ruin."""
    intact.save({"model": nn.Linear(2, 2), "step": 1}, tmp_path / "run")
    index = tmp_path / "run" / "state.json"
    index.write_bytes(index.read_bytes()[:-40])
    intact.save({"model": nn.Linear(2, 2), "step": 2}, tmp_path / "run")
    assert intact.read(tmp_path / "run")["step"] == 2
