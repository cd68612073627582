"""Whether a live tensor holds what was planned, bit for bit, signs of zeros and patterns of NaN included."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def holds(held: object, planned: torch.Tensor, dtype: torch.dtype | None) -> bool:
    """Tells whether a tensor of a model is a planned value, cast to a dtype.

    Args:
        held: What stands in the model now, on any device.
        planned: The value, of any dtype.
        dtype: What the tensor's dtype has to be.
    """
    import torch

    if not isinstance(held, torch.Tensor) or held.is_meta or torch.nn.parameter.is_lazy(held):
        return False
    if held.dtype != dtype or held.shape != planned.shape or held.layout != planned.layout:
        return False
    wanted = planned.detach().to(device=held.device, dtype=held.dtype)
    if held.is_quantized or held.is_nested:
        return held.is_quantized == wanted.is_quantized and torch.equal(held.detach(), wanted)
    if held.layout != torch.strided:
        return _same_parts(held.detach(), wanted)
    return _same_bits(held.detach(), wanted, any_nan=planned.dtype != held.dtype)


def _same_parts(held: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Compares sparse tensors by their components."""
    import torch

    if held.layout == torch.sparse_coo:
        a, b = held.coalesce(), wanted.coalesce()
        return torch.equal(a.indices(), b.indices()) and _same_bits(a.values(), b.values())
    if held.layout in (torch.sparse_csr, torch.sparse_bsr):
        pairs = ((held.crow_indices(), wanted.crow_indices()), (held.col_indices(), wanted.col_indices()))
    else:
        pairs = ((held.ccol_indices(), wanted.ccol_indices()), (held.row_indices(), wanted.row_indices()))
    return all(torch.equal(a, b) for a, b in pairs) and _same_bits(held.values(), wanted.values())


def _same_bits(held: torch.Tensor, wanted: torch.Tensor, *, any_nan: bool = False) -> bool:
    """Compares bits; after a cast one NaN is as good as another, since machines differ in which they make."""
    import torch

    a, b = _bits(held), _bits(wanted)
    if torch.equal(a, b):
        return True
    same = (a == b).reshape(*held.shape, -1).all(-1)
    return any_nan and bool((same | (_nan(held) & _nan(wanted))).all())


def _nan(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float().isnan() if tensor.dtype.itemsize == 1 else tensor.isnan()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    plain = tensor.resolve_conj().resolve_neg()
    if plain.dtype.is_complex:
        plain = torch.view_as_real(plain)
    widths = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return plain.view(widths[plain.dtype.itemsize])
