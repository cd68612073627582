"""Tensors that are spread over the processes of a training run: what part of which whole a file holds.

`DTensor` (FSDP2, tensor parallel) and `ShardedTensor` (FSDP1) wrap the part that one process had, and say how the whole is cut.
Neither class is imported; the part is an ordinary tensor inside an inert record.

Source:
    torch 2.13, `distributed/tensor/_api.py`, `distributed/tensor/placement_types.py`, `distributed/device_mesh.py`,
    `distributed/_shard/sharded_tensor/api.py`; older releases by files that they wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from intact.core.container import Foreign, TensorRecord

DIMENSIONS_LIMIT = 64
SHARDS_LIMIT = 4096
"""Parts of one tensor that one process holds; torch writes one."""

_CLASSES = ("torch.distributed.tensor.", "torch.distributed._tensor.", "torch.distributed._shard.sharded_tensor.")


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a tensor that one process held.

    Attributes:
        record: Its values.
        offsets: Of its first element in the whole, one for each dimension.
    """

    record: TensorRecord
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pieces:
    """What one file holds of one tensor.

    Attributes:
        dtype: As torch spells it.
        shape: Of the whole.
        held: The parts that are here; none where the process had none.
    """

    dtype: str
    shape: tuple[int, ...]
    held: tuple[Piece, ...]

    @property
    def whole(self) -> TensorRecord | None:
        """The tensor, where one part is all of it."""
        return next((piece.record for piece in self.held if piece.record.shape == self.shape), None)


def is_spread(name: str) -> bool:
    """Tells whether a name is that of a class whose tensors are spread over processes."""
    return name.startswith(_CLASSES) and name.rpartition(".")[2] in ("DTensor", "ShardedTensor")


def pieces_of(value: Foreign) -> Pieces | None:
    """Returns what a record of such a class holds, None where it is of another class or not as torch writes it."""
    if not is_spread(value.name):
        return None
    found = _of_dtensor(value.state) if value.name.endswith(".DTensor") else _of_sharded(value.state)
    return found if found is not None and all(_lies_inside(piece, found) for piece in found.held) else None


def _lies_inside(piece: Piece, whole: Pieces) -> bool:
    record = piece.record
    if record.layout != "strided" or not record.contiguous or record.dtype != whole.dtype:
        return False  # what repeats itself would claim more than there is
    if not len(record.shape) == len(piece.offsets) == len(whole.shape):
        return False
    ranges = zip(piece.offsets, record.shape, whole.shape, strict=True)
    return all(0 <= offset <= offset + size <= total for offset, size, total in ranges)


def _of_dtensor(state: Any) -> Pieces | None:
    local, spec = _member(state, "_local_tensor"), _member(state, "_spec")
    shape = _integers(_first(_member(spec, "tensor_meta"), "shape", 0))
    placements = _member(spec, "placements")
    mesh = _member(spec, "mesh")
    axes, place = _axes(mesh), _integers(_member(mesh, "_coordinate_on_dim"))
    if not isinstance(local, TensorRecord) or shape is None or not isinstance(placements, tuple):
        return None
    kinds = [placement.name.rpartition(".")[2] if isinstance(placement, Foreign) else "" for placement in placements]
    if not {*kinds} <= {"Shard", "Replicate"}:
        return None  # partial sums, or parts cut in turns
    if local.shape == shape:
        return Pieces(local.dtype, shape, (Piece(local, (0,) * len(shape)),))
    if axes is None or place is None or not len(axes) == len(place) == len(placements):
        return None
    offsets, sizes = [0] * len(shape), list(shape)
    for kind, placement, parts, number in zip(kinds, placements, axes, place, strict=True):
        axis = _member(placement, "dim")
        if kind == "Replicate":
            continue
        if type(axis) is not int or not 0 <= axis < len(shape) or not 0 <= number < parts:
            return None
        chunk = -(-sizes[axis] // parts)
        begin = min(chunk * number, sizes[axis])
        offsets[axis] += begin
        sizes[axis] = min(chunk, sizes[axis] - begin)
    return Pieces(local.dtype, shape, (Piece(local, tuple(offsets)),)) if local.shape == tuple(sizes) else None


def _axes(mesh: Any) -> tuple[int, ...] | None:
    """How many processes each dimension of a mesh has, as releases write it: a tensor of ranks, or a layout."""
    for name in ("mesh", "_mesh"):
        ranks = _member(mesh, name)
        if isinstance(ranks, TensorRecord):
            return ranks.shape
    layout = _member(mesh, "_layout")
    axes = _member(layout, "axes")
    if isinstance(axes, tuple):
        sizes = [_flat(_first(axis, "shape", 0)) for axis in axes[:DIMENSIONS_LIMIT]]
    else:
        shape = _first(layout, "shape", 0)
        sizes = [_flat(size) for size in shape[:DIMENSIONS_LIMIT]] if isinstance(shape, tuple) else [_flat(shape)]
    return tuple(size for size in sizes if size is not None) if None not in sizes else None


def _flat(sizes: Any) -> int | None:
    """Product of a nesting of sizes, as layouts of several dimensions made one have it."""
    if type(sizes) is int:
        return sizes if sizes > 0 else None
    found = _integers(sizes)
    return prod(found) if found and all(size > 0 for size in found) else None


def _of_sharded(state: Any) -> Pieces | None:
    if not isinstance(state, tuple) or len(state) < 2 or not isinstance(state[0], list) or len(state[0]) > SHARDS_LIMIT:
        return None
    shape = _integers(_member(state[1], "size"))
    pieces = list(_local(state[0]))
    if shape is None or None in pieces:
        return None
    held = tuple(piece for piece in pieces if piece is not None)
    dtypes = {piece.record.dtype for piece in held}
    return Pieces(dtypes.pop(), shape, held) if len(dtypes) == 1 else None


def _local(shards: list[Any]) -> Iterator[Piece | None]:
    for shard in shards:
        record, offsets = _member(shard, "tensor"), _integers(_member(_member(shard, "metadata"), "shard_offsets"))
        yield Piece(record, offsets) if isinstance(record, TensorRecord) and offsets is not None else None


def _member(value: Any, name: str) -> Any:
    """One attribute of an inert record, however its state was written; None where it has none."""
    state = value.state if isinstance(value, Foreign) else value
    rows = state if isinstance(state, tuple) else (state,)
    for row in rows:
        if isinstance(row, dict) and name in row:
            return row[name]
    return None


def _first(value: Any, name: str, place: int) -> Any:
    """An attribute, or an argument of the call where the record has no state (a named tuple)."""
    found = _member(value, name)
    if found is not None or not isinstance(value, Foreign) or not isinstance(value.args, tuple) or len(value.args) <= place:
        return found
    return value.args[place]


def _integers(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, (tuple, list)) or len(value) > DIMENSIONS_LIMIT:
        return None
    return tuple(value) if all(type(item) is int and item >= 0 for item in value) else None
