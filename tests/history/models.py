"""The model of the kept checkpoints. It never changes: a later shape would be another model, under another name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Kept(nn.Module):
    """A tied head, a buffer of integers, one that is not saved, and state of its own."""

    def __init__(self, words: int = 7, width: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.norm = nn.BatchNorm1d(width)
        self.small = nn.Linear(width, width).half()
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(2), persistent=False)
        self.step = 0

    def get_extra_state(self) -> dict[str, Any]:
        """A count, and plain values of the kinds that JSON does not have."""
        return {"step": self.step, "shape": (2, 3), "large": 2**80, "least": float("-inf"), "history": torch.arange(3)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the count back."""
        self.step = state["step"]


def filled() -> Kept:
    """The model with values that anybody can compute: counted from one tensor to the next, in steps of an eighth."""
    model, start = Kept(), 0
    with torch.no_grad():
        for tensor in {id(tensor): tensor for tensor in model.state_dict().values() if isinstance(tensor, torch.Tensor)}.values():
            count = torch.arange(start, start + tensor.numel(), dtype=torch.float64)
            tensor.copy_((count / 8 if tensor.is_floating_point() else count).reshape(tensor.shape))
            start += tensor.numel()
    model.step = 41
    model.norm.eval()
    return model
