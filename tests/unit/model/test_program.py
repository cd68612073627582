"""A program beside the checkpoint: it runs without the class, is sealed like the weights, and goes with the save it is of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import intact

INPUT = (torch.linspace(-1, 1, 12).reshape(3, 4),)


def model() -> nn.Module:
    """Returns a small model with a layer that eval mode changes."""
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.GELU(), nn.Linear(8, 2))


def programs(folder: Path) -> list[str]:
    """Returns the programs in a folder."""
    return sorted(path.name for path in folder.glob("*.pt2"))


@pytest.mark.parametrize("max_shard_bytes", [None, 100])
def test_a_program_runs_without_the_class(max_shard_bytes: int | None, tmp_path: Path) -> None:
    """Whoever has neither the class nor the time for it still gets the model's outputs."""
    saved = model().train()
    path = tmp_path / "net.safetensors"
    intact.save(saved, path, example_inputs=INPUT, program=True, max_shard_bytes=max_shard_bytes)
    assert saved.training
    assert all(module.training for module in saved.modules())
    program = intact.load_program(path)
    assert torch.equal(program.module()(*INPUT), saved.eval()(*INPUT))
    assert intact.verify(path).verdict == "intact"


def test_a_program_is_replaced_with_its_checkpoint(tmp_path: Path) -> None:
    """A program of an older save would give an older model's outputs."""
    path = tmp_path / "net.safetensors"
    intact.save(model(), path, example_inputs=INPUT, program=True)
    first = programs(tmp_path)
    later = model()
    intact.save(later, path, example_inputs=INPUT, program=True)
    assert len(programs(tmp_path)) == 1
    assert programs(tmp_path) != first
    assert torch.equal(intact.load_program(path).module()(*INPUT), later.eval()(*INPUT))
    intact.save(later, path)
    assert programs(tmp_path) == []
    with pytest.raises(intact.LoadRefused, match="no program"):
        intact.load_program(path)


def test_a_changed_or_missing_program_is_told(tmp_path: Path) -> None:
    """It holds weights of its own, and a flipped bit in them shows nowhere else."""
    path = tmp_path / "net.safetensors"
    intact.save(model(), path, example_inputs=INPUT, program=True)
    program = tmp_path / programs(tmp_path)[0]
    content = bytearray(program.read_bytes())
    content[len(content) // 2] ^= 1
    program.write_bytes(content)
    report = intact.verify(path)
    assert report.verdict == "damaged"
    assert program.name in report.to_json()
    with pytest.raises(intact.LoadRefused, match="changed"):
        intact.load_program(path)
    program.unlink()
    assert [finding.code for finding in intact.verify(path).findings] == ["file/missing-shard"]


class Branching(nn.Module):
    """What torch.export cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns one of two things by the values."""
        made: torch.Tensor = self.layer(x)
        return made if float(made.sum()) > 0 else -made


def test_a_model_that_cannot_be_exported_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """The save that was asked for is not the one that would be left."""
    path = tmp_path / "net.safetensors"
    with pytest.raises(intact.IntactError, match="cannot be exported"):
        intact.save(Branching(), path, example_inputs=INPUT, program=True)
    with pytest.raises(intact.IntactError, match="example inputs"):
        intact.save(model(), path, program=True)
    assert list(tmp_path.iterdir()) == []
