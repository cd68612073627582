"""Keys that nothing explains are listed beside what they are most like, and nothing is made of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import intact
from intact.alignment.nearest import MOST_KEYS, nearest
from intact.core.tensor import TensorInfo


def tensors(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    keys = {key.replace("__", "."): shape for key, shape in shapes.items()}
    return {key: TensorInfo(key, "float32", shape) for key, shape in keys.items()}


def test_a_key_of_one_shape_and_a_like_name_is_nearest() -> None:
    missing = tensors(cls_head__weight=(5, 8), pooling__weight=(4, 8), gate__scale=(3,))
    extra = tensors(head_cls__weight=(5, 8), head_aux__bias=(5, 8), pool__weight=(8, 8), other__thing=(3, 3))
    assert nearest(missing, extra) == {"cls_head.weight": "head_cls.weight", "pooling.weight": "pool.weight"}


def test_only_so_many_are_looked_for() -> None:
    many = {f"layer.{n}.weight": TensorInfo(f"layer.{n}.weight", "float32", (n,)) for n in range(3 * MOST_KEYS)}
    assert len(nearest(many, many)) == MOST_KEYS
    assert nearest(many, {}) == {}


def test_the_report_says_it_and_the_plan_does_not_use_it(tmp_path: Path) -> None:
    saved = nn.ModuleDict({"enc": nn.Linear(8, 8), "pool": nn.Linear(8, 8)})
    model = nn.ModuleDict({"enc": nn.Linear(8, 8), "pooling": nn.Linear(8, 4)})
    torch.save({"state": {f"module.{key}": value for key, value in saved.state_dict().items()}}, tmp_path / "m.pth")
    report = intact.check(tmp_path / "m.pth", model)
    (finding,) = (f for f in report.findings if f.code == "arch/missing-key")
    assert finding.evidence["nearest"] == {"pooling.weight": "pool.weight", "pooling.bias": "pool.bias"}
    assert "nearest in the file: `pool.weight` for `pooling.weight`" in finding.cause
    assert report.verdict == "lossy"
