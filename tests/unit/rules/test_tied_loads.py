"""Tied keys together with casts, other sizes and missing parts: real files, loaded into real models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import intact

State = dict[str, torch.Tensor]


class Language(nn.Module):
    """A small language model; embedding and head are one tensor unless told otherwise."""

    def __init__(self, width: int = 8, rows: int = 20, tied: bool = True) -> None:
        super().__init__()
        self.embed, self.mid = nn.Embedding(rows, width), nn.Linear(width, width)
        self.lm_head = nn.Linear(width, rows, bias=False)
        if tied:
            self.lm_head.weight = self.embed.weight


def copies(state: State) -> State:
    """Returns the state as formats write it that know nothing of shared memory."""
    return {key: value.clone() for key, value in state.items()}


@pytest.mark.parametrize(
    ("saved", "model", "written"),
    [
        (lambda: Language().half(), Language, copies),
        (lambda: Language().half(), Language, dict),
        (Language, lambda: Language().half(), copies),
        (lambda: Language(tied=False), lambda: Language().half(), dict),
        (lambda: Language(rows=22), Language, copies),
        (lambda: Language(rows=22, tied=False), Language, dict),
        (lambda: Language(width=16), Language, copies),
        (lambda: Language(width=16, tied=False), Language, dict),
    ],
    ids=[
        "halves-copied",
        "halves-tied",
        "into-halves",
        "untied-into-halves",
        "rows",
        "untied-rows",
        "width",
        "untied-width",
    ],
)
def test_a_tied_model_loads_whatever_else_differs(
    tmp_path: Path, saved: Callable[[], Language], model: Callable[[], Language], written: Callable[[State], State]
) -> None:
    """Steps of other causes speak of a tied key that a later step replaces, and that is therefore never read."""
    origin, target = saved(), model()
    torch.save(written(origin.state_dict()), tmp_path / "model.pth")
    report = intact.check(tmp_path / "model.pth", target)
    intact.load_into(target, tmp_path / "model.pth", allow=report.plan.lossy_codes)
    assert target.lm_head.weight is target.embed.weight
    rows, width = min(20, origin.embed.num_embeddings), origin.embed.embedding_dim
    if width == target.embed.embedding_dim:
        wanted = origin.embed.weight[:rows].to(target.embed.weight.dtype)
        assert torch.equal(target.embed.weight[:rows], wanted)


def test_the_models_own_tied_tensor_is_not_called_a_tie_in_the_file(tmp_path: Path) -> None:
    """Where the width differs both names keep the model's tensor: one cause, not two."""
    torch.save(Language(width=16).state_dict(), tmp_path / "wide.pth")
    report = intact.check(tmp_path / "wide.pth", Language())
    assert [finding.code for finding in report.findings] == ["arch/shape-mismatch"]
