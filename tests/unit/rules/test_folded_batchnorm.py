"""BatchNorm layers that were folded away are known by the biases that took their place."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import intact

CODE = "arch/folded-batchnorm"


class Block(nn.Module):
    """Two convolutions with their norms, one after the other in the order of definition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both pairs."""
        rows: torch.Tensor = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return rows


def _trained() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block())
    for _ in range(3):
        model(torch.randn(16, 3, 4, 4) * 3 + 1)
    return model.eval()


def _folded(model: nn.Module) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for path, block in model.named_children():
        assert isinstance(block, Block)
        for number, conv, norm in ((1, block.conv1, block.bn1), (2, block.conv2, block.bn2)):
            fused = fuse_conv_bn_eval(conv, norm)
            assert fused.bias is not None
            state |= {f"{path}.conv{number}.weight": fused.weight.detach(), f"{path}.conv{number}.bias": fused.bias.detach()}
    return state


def test_neutral_layers_compute_what_the_folded_ones_did(tmp_path: Path) -> None:
    """Each bias goes to the norm behind its own convolution, though all have the same shape."""
    trained = _trained()
    torch.save(_folded(trained), tmp_path / "fused.pt")
    model = nn.Sequential(Block(), Block()).eval()
    report = intact.check(tmp_path / "fused.pt", model)
    assert [finding.code for finding in report.findings] == [CODE]
    assert report.verdict == "lossy"
    intact.load_into(model, tmp_path / "fused.pt", allow=[CODE])
    image = torch.randn(2, 3, 4, 4)
    assert torch.allclose(model(image), trained(image), atol=1e-4)


def test_norms_that_are_missing_without_a_bias_in_their_place_are_just_missing(tmp_path: Path) -> None:
    """Nothing says that they were folded; perhaps the model never had them."""
    state = {key: value for key, value in _trained().state_dict().items() if "bn2" not in key}
    torch.save(state, tmp_path / "part.pt")
    codes = {finding.code for finding in intact.check(tmp_path / "part.pt", nn.Sequential(Block(), Block())).findings}
    assert CODE not in codes
    assert "arch/missing-key" in codes
