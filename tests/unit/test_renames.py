"""Which key is which, where names differ: eight trials that other matchers fail, and what must stay open."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

import pytest
from torch import nn

from intact.alignment import Renames, find_renames
from intact.core.description import Description
from intact.core.tensor import TensorInfo

Shapes = Mapping[str, tuple[int, ...]]


class Block(nn.Module):
    """A norm and two layers."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.ln, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


class Net(nn.Module):
    """Blocks, an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block() for _ in range(2)])
        self.emb, self.head = nn.Embedding(11, 16), nn.Linear(16, 11)


class Attention(nn.Module):
    """Four matrices of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(16, 16) for _ in range(4))


class Residual(nn.Module):
    """Convolutions and norms of one width."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Key to shape, in the model's order."""
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def described(shapes: Shapes) -> Description:
    """The same as a description."""
    return Description({key: TensorInfo(key, "float32", shape) for key, shape in shapes.items()})


def renamed(shapes: Shapes, rename: Callable[[str], str]) -> tuple[Renames | None, dict[str, str]]:
    """What is found where every key has another name, and what is true."""
    truth = {rename(key): key for key in shapes}
    keys = list(truth)
    random.Random(1).shuffle(keys)
    return find_renames(described({key: shapes[truth[key]] for key in keys}), described(shapes)), truth


def _heads(key: str) -> str:
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "dense": "o_proj"}
    return "encoder." + re.sub(r"\.(query|key|value|dense)\.", lambda match: f".{names[match[1]]}.", key)


TOLD: dict[str, tuple[nn.Module, Callable[[str], str]]] = {
    "prefix": (Net(), lambda key: f"module.{key}"),
    "blocks to layers": (Net(), lambda key: key.replace("blocks", "layers").replace("head", "classifier")),
    "query to q_proj": (nn.ModuleList([Attention() for _ in range(4)]), lambda key: _heads(f"layer.{key}")),
    "stages to layers": (
        nn.ModuleList([nn.Sequential(Residual(), Residual()) for _ in range(2)]),
        lambda key: re.sub(r"^(\d)\.(\d)\.(conv|bn)", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.{m[3][0]}", key),
    ),
    "unwrapped children": (
        nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 9, 3)), "fc": nn.Linear(9, 2)}),
        lambda key: key.replace("features.0", "conv1").replace("features.2", "conv2"),
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_names_are_told_by_content_numbers_and_meaning(case: str) -> None:
    """Buffers included, and in whatever order the file has them."""
    model, rename = TOLD[case]
    renames, truth = renamed(shapes_of(model), rename)
    assert renames is not None
    assert {match.found: match.expected for match in renames.matches} == {a: b for a, b in truth.items() if a != b}
    assert renames.forced
    assert not renames.unmatched


OPEN: dict[str, tuple[nn.Module, Callable[[str], str]]] = {
    "opaque names": (
        nn.ModuleDict({name: Block() for name in "xyz"}),
        lambda key: {"x": "c", "y": "a", "z": "b"}[key[0]] + key[1:],
    ),
    "two equal towers": (nn.ModuleDict({name: Net() for name in "xy"}), lambda key: {"x": "a", "y": "b"}[key[0]] + key[1:]),
    "numbers one further": (
        nn.ModuleDict({"net": nn.Sequential(*[Block() for _ in range(4)])}),
        lambda key: re.sub(r"net\.(\d)", lambda match: f"net.{int(match[1]) + 1}", key),
    ),
}


@pytest.mark.parametrize("case", OPEN)
def test_what_nothing_tells_is_left_open(case: str) -> None:
    """A mapping that is right by chance half of the time is worse than none."""
    model, rename = OPEN[case]
    renames, truth = renamed(shapes_of(model), rename)
    assert renames is not None
    assert renames.choices
    assert all(truth[match.found] == match.expected for match in renames.matches)


def test_the_pattern_says_it_in_one_line() -> None:
    """Twelve keys are one cause."""
    renames, _ = renamed(shapes_of(Net()), lambda key: key.replace("blocks", "layers"))
    assert renames is not None
    assert renames.patterns == (("layers", "blocks", 12),)


def test_another_model_has_no_counterparts() -> None:
    """Two tensors of one shape among many are an accident."""
    renames = find_renames(described(shapes_of(Net())), described({"a.weight": (3, 3), "b.weight": (16,), "c.weight": (7,)}))
    assert renames is None or renames.share < 0.5
