"""Models of a given size for the benchmarks: a tree of blocks with ten parameters each, matrices and vectors, two dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def bag(size_bytes: int, tensors: int) -> torch.nn.Module:
    """Returns a model of about so many bytes: one large embedding, six matrices in ten tensors, a quarter of them bfloat16.

    Args:
        size_bytes: Bytes of all parameters together.
        tensors: How many parameters; where that leaves little for each, all are matrices of 16 by 16.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    if size_bytes // tensors < 1 << 14:
        return _tree([torch.randn(16, 16, generator=generator) for _ in range(tensors)])
    large = max(tensors * 6 // 10, 1)
    embedding = max(int(size_bytes * 0.12) // 2048, 1)
    rows = max((size_bytes - embedding * 2048) // max(large - 1, 1) // 2048, 1)
    made = [torch.randn(embedding, 512, generator=generator)]
    for number in range(tensors - 1):
        if number % 10 < 6 and large > 1:
            matrix, large = torch.randn(rows, 512, generator=generator), large - 1
            made.append(torch.cat([matrix, matrix]).bfloat16() if number % 4 == 3 else matrix)
        else:
            made.append(torch.randn(1024, generator=generator))
    return _tree(made)


def _tree(tensors: list[torch.Tensor]) -> torch.nn.Module:
    import torch

    blocks = torch.nn.ModuleList()
    for begin in range(0, len(tensors), 10):
        block = torch.nn.Module()
        for number, tensor in enumerate(tensors[begin : begin + 10]):
            block.register_parameter(f"p{number}", torch.nn.Parameter(tensor, requires_grad=False))
        blocks.append(block)
    model = torch.nn.Module()
    model.blocks = blocks
    return model


def bytes_of(model: torch.nn.Module) -> int:
    """Returns the bytes of all parameters."""
    return sum(parameter.nbytes for parameter in model.parameters())
