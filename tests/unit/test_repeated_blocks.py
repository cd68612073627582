"""A block that stands in a file twice by accident is told from what is there twice by design."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import intact

CODE = "value/repeated-block"


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    save_file(state, path)
    return path


def damaged(path: Path, begin: int, end: int, to: int) -> None:
    """Writes the bytes of one place to another one."""
    with path.open("r+b") as file:
        file.seek(begin)
        block = file.read(end - begin)
        file.seek(to)
        file.write(block)


def said(path: Path) -> dict[str, str]:
    """Tensors that are doubted, and why."""
    report = intact.check(path)
    findings = [finding for finding in report.findings if finding.code == CODE]
    return findings[0].evidence["tensors"] if findings else {}


def ordinary(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"layers.{n}.weight": torch.randn(90, 110, generator=generator).to(dtype) for n in range(4)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_block_of_another_tensor_is_found_at_both_places(dtype: torch.dtype, size: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", ordinary(dtype))
    assert said(path) == {}
    whole = path.stat().st_size // 4
    begin, to = whole // 2 // 512 * 512, (3 * whole + whole // 2) // 512 * 512
    damaged(path, begin, begin + size, to)
    found = said(path)
    assert set(found) == {"layers.0.weight", "layers.3.weight"}
    assert f"[{to:,}, {to + size:,})" in found["layers.3.weight"]


def test_a_block_that_was_written_again_in_the_same_tensor_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", ordinary())
    damaged(path, 4096, 8192, 16384)
    assert set(said(path)) == {"layers.0.weight"}


def test_salvage_hands_neither_out_as_whole(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", ordinary())
    damaged(path, 4096, 8192, path.stat().st_size // 512 * 512 - 8192)
    result = intact.salvage(path)
    assert set(result.suspicious) == {"layers.0.weight", "layers.3.weight"}
    assert set(result.tensors) == {"layers.1.weight", "layers.2.weight"}


def test_what_is_there_twice_by_design_is_silent(tmp_path: Path) -> None:
    table = torch.randn(300, 100)
    angles = torch.arange(512)[:, None] * torch.rand(32)
    by_design = {
        "copy": {"best": table, "last": table.clone(), "other": torch.randn(300, 100)},
        "resized": {"small": table[:200].clone(), "large": torch.cat([table, torch.randn(50, 100)])},
        "tail": {"small": table[100:].clone(), "large": torch.cat([torch.randn(20, 100), table])},
        "rows": {"rows": table[:1].repeat(300, 1), "other": torch.randn(300, 100)},
        "halves": {"rotary": torch.cat([angles.cos(), angles.cos()], dim=1).contiguous()},
        "masks": {"mask": torch.ones(512, 512).tril(), "again": torch.ones(300, 512).tril(), "w": torch.randn(64, 64)},
        "initial": {f"norm.{n}.weight": torch.ones(2048) for n in range(8)},
        "fused": {"qkv": torch.cat([table, table + 1, table + 2]), "q": table.clone(), "v": table + 2},
        "aligned": {f"w.{n}": torch.randn(64, 128) for n in range(4)} | {"again": table[:128, :64].reshape(64, 128).clone()},
    }
    for name, state in by_design.items():
        assert said(saved(tmp_path / f"{name}.safetensors", state)) == {}, name
        torch.save(state, tmp_path / f"{name}.pth")
        assert said(tmp_path / f"{name}.pth") == {}, name
