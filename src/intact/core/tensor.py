"""One tensor as a container declares it or a model wants it: everything but its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from intact.core.dtype import dtype_named

Role = Literal["parameter", "buffer", "tensor"]
"""What the tensor is to its module; "tensor" where only a name and a value are known, as in most files."""

Placement = Literal["copy", "replace", "register"]
"""How a value reaches the model: copied into its tensor; put in its place with the file's dtype; added as a new buffer."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor, without bytes.

    Attributes:
        key: Its key in the description it stands in.
        dtype: As torch spells it (`float32`); a name nobody knows is kept as it is.
        shape: Size of each dimension, in elements.
        role: What it is to its module, where that is known.
        layout: `strided`, `sparse_coo`, `sparse_csr`, `quantized`, … as torch names it.
        nest: Path of the innermost mapping, list or module that holds it in the file (`optimizer.state[0]`); "" at the top.
        source: The key under which its bytes are read from the container; kept through every predicted repair.
        placement: How the value reaches the model.
        lazy: The model has not decided the shape yet; it takes the file's.
        device: Where the tensor was when it was saved (`cpu`, `cuda:0`); the model's own device on the expected side.
        parts: Keys under which the bytes are read, where it is made of several tensors; empty where `source` is the only one.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    role: Role = "tensor"
    layout: str = "strided"
    nest: str = ""
    source: str = ""
    placement: Placement = "copy"
    lazy: bool = False
    device: str = "cpu"
    parts: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys under which its bytes are read from the container; empty where they are not there."""
        return self.parts or ((self.source,) if self.source else ())

    def moved(self, key: str) -> TensorInfo:
        """Returns the tensor under another key, in no nesting; spelled out because `replace` costs five times as much."""
        return TensorInfo(
            key,
            self.dtype,
            self.shape,
            self.role,
            self.layout,
            "",
            self.source,
            self.placement,
            self.lazy,
            self.device,
            self.parts,
        )

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes that the elements take, once each, whatever storage stands behind them; 0 for an unknown dtype."""
        known = dtype_named(self.dtype)
        return self.elements * known.itemsize_bytes if known else 0
