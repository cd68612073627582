"""Whether a file keeps the matrices of linear layers as [out, in], as torch does, or the other way round.

Shapes are what tells tensors of other names apart, and the shapes of matrices that were turned round tell a wrong story: the two
matrices of a feed-forward layer change their places. Matrices whose names agree, and biases, say how a file keeps them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from intact.core.description import Description
from intact.core.keys import leaf_of, owner_of
from intact.core.tensor import TensorInfo

Orientation = Literal["straight", "turned", "open"]
"""As torch keeps them, the other way round, or either: nothing tells, and both would fit."""

_LINEAR = ("Linear", "Conv1D")
"""What the names of classes end with whose matrices are kept in either way."""


def orientation_of(found: Description, expected: Description) -> Orientation:
    """Returns how the file keeps the matrices of linear layers, for all that names and biases tell.

    Args:
        found: What the container holds, without nesting.
        expected: What the model wants.
    """
    linear = {key: tensor for key, tensor in expected.tensors.items() if _is_turnable(expected, key, tensor)}
    if not linear:
        return "straight"
    swapped = False
    for key, tensor in linear.items():
        other = found.tensors.get(key)
        swapped = swapped or (other is not None and other.shape == tensor.shape[::-1])
        if other is not None and other.shape == tensor.shape:
            return "straight"
    sides = Counter(_sides_of_biases(found))
    if sides[0] or sides[1]:
        return "straight" if sides[0] >= sides[1] else "turned"
    if swapped:
        return "open"  # the name may be another layer's
    wanted = Counter(tensor.shape for tensor in linear.values())
    stored = Counter(tensor.shape for tensor in found.tensors.values() if tensor.shape in wanted or tensor.shape[::-1] in wanted)
    return "open" if all(stored[shape[::-1]] >= number for shape, number in wanted.items()) else "straight"


def turned_round(expected: Description) -> Description:
    """Returns what a model wants, with the matrices of its linear layers the other way round."""
    tensors = {
        key: replace(tensor, shape=tensor.shape[::-1]) if _is_turnable(expected, key, tensor) else tensor
        for key, tensor in expected.tensors.items()
    }
    return replace(expected, tensors=tensors)


def _is_turnable(expected: Description, key: str, tensor: TensorInfo) -> bool:
    if len(tensor.shape) != 2 or tensor.shape[0] == tensor.shape[1] or leaf_of(key) != "weight":
        return False
    module = expected.module_of(key)
    return module is not None and module.class_name.endswith(_LINEAR)


def _sides_of_biases(found: Description) -> Iterator[int]:
    """For every matrix beside a bias, which of its sides, if one only, is as long as the bias."""
    for key, tensor in found.tensors.items():
        if len(tensor.shape) == 2 and tensor.shape[0] != tensor.shape[1] and leaf_of(key) == "weight":
            bias = found.tensors.get(f"{owner_of(key)}.bias".lstrip("."))
            if bias is not None and len(bias.shape) == 1 and bias.shape[0] in tensor.shape:
                yield tensor.shape.index(bias.shape[0])
