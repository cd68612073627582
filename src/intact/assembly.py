"""Torch tensors from tensor records, in memory of their own or over the file's bytes themselves.

One storage of a file becomes one storage in memory however many tensors look at it, and one record one tensor. What the record
does not guarantee (indices of sparse tensors, members of nested ones) is checked before torch is handed it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from intact.core.container import Container, Storage, TensorRecord
from intact.core.dtype import dtype_named
from intact.errors import CannotRead, Damaged

if TYPE_CHECKING:
    import torch


class Assembler:
    """Makes the tensors of one container; identity and shared memory are those of the file.

    Args:
        container: Stays open as long as tensors are made; those that were made outlive it.
        mapped: Whether tensors may be views of the mapped file. They cost nothing then, and are lost, with the process, when
            somebody writes to the file or cuts it off while they are in use.
    """

    def __init__(self, container: Container, *, mapped: bool) -> None:
        self._container = container
        self._mapped = mapped
        self._storages: dict[tuple[str, str, str], torch.UntypedStorage] = {}
        self._tensors: dict[int, tuple[TensorRecord, torch.Tensor]] = {}

    def tensor(self, record: TensorRecord) -> torch.Tensor:
        """Returns the tensor of a record, the same object each time.

        Raises:
            CannotRead: This torch has no such dtype or layout (`version/needs-newer-torch`).
            Damaged: Its bytes are missing, or its parts contradict each other.
        """
        known = self._tensors.get(id(record))
        if known is None:
            known = self._tensors[id(record)] = (record, self._finished(record, self._plain(record)))
        return known[1]

    def storage(self, storage: Storage) -> torch.storage.TypedStorage:
        """Returns a storage that stands in a file by itself, without a tensor."""
        memory = self._memory(storage, storage.dtype)
        return _typed(memory, self._dtype(storage.dtype))

    def _plain(self, record: TensorRecord) -> torch.Tensor:
        makers = {"strided": self._strided, "quantized": self._quantized, "nested": self._nested, "meta": self._meta}
        make = makers.get(record.layout, self._sparse)
        try:
            return make(record)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Damaged(
                f"a {record.layout} tensor cannot be rebuilt: {reason}", code="file/bad-header", path=self._container.source.path
            ) from error

    def _finished(self, record: TensorRecord, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        if record.attributes.get("conj"):
            tensor = tensor.conj()
        if record.attributes.get("neg"):
            tensor = torch._neg_view(tensor)
        if record.parameter:
            return torch.nn.Parameter(tensor, requires_grad=record.requires_grad and _differentiable(tensor))
        return tensor.requires_grad_() if record.requires_grad and _differentiable(tensor) else tensor

    def _strided(self, record: TensorRecord) -> torch.Tensor:
        import torch

        dtype = self._dtype(record.dtype)
        if record.storage is None:
            return torch.empty_strided(record.shape, record.stride, dtype=dtype)
        return torch.empty(0, dtype=dtype).set_(
            self._memory(record.storage, record.dtype), record.offset, record.shape, record.stride
        )

    def _quantized(self, record: TensorRecord) -> torch.Tensor:
        import torch

        about, dtype = record.attributes, self._dtype(record.dtype)
        if "scale" in about:
            scale, point = about["scale"], about["zero_point"]
            like = torch._empty_affine_quantized(record.shape, scale=scale, zero_point=point, dtype=dtype)
        else:
            floating = about.get("scheme") == "per_channel_affine_float_qparams"
            types = (torch.float64, torch.float32 if floating else torch.int64)
            scales, points = (
                self.tensor(record.parts[name]) if name in record.parts else torch.tensor(about[name], dtype=kind)
                for name, kind in zip(("scales", "zero_points"), types, strict=True)
            )
            like = torch._empty_per_channel_affine_quantized(
                record.shape, scales=scales, zero_points=points, axis=about["axis"], dtype=dtype
            )
        assert record.storage is not None
        memory = self._memory(record.storage, record.dtype)
        return like.set_(_typed(memory, dtype), record.offset, record.shape, record.stride)

    def _sparse(self, record: TensorRecord) -> torch.Tensor:
        import torch

        parts = {name: self.tensor(part) for name, part in record.parts.items()}
        if record.layout == "sparse_coo":
            coalesced = record.attributes.get("is_coalesced")
            return torch.sparse_coo_tensor(
                parts["indices"], parts["values"], record.shape, check_invariants=True, is_coalesced=coalesced
            )
        compressed, plain, values = parts.values()
        layout = getattr(torch, record.layout, None)
        if layout is None:
            raise CannotRead(f"this torch has no layout {record.layout}", code="version/needs-newer-torch")
        return torch.sparse_compressed_tensor(compressed, plain, values, record.shape, layout=layout, check_invariants=True)

    def _nested(self, record: TensorRecord) -> torch.Tensor:
        import torch

        buffer, sizes, strides, offsets = (self.tensor(record.parts[n]) for n in ("buffer", "sizes", "strides", "offsets"))
        if sizes.shape != strides.shape or sizes.dim() != 2 or offsets.shape != sizes.shape[:1]:
            raise ValueError("sizes, strides and offsets of its members do not agree")
        last = offsets + ((sizes - 1) * strides).sum(1)
        filled = (sizes > 0).all(1)
        if bool((sizes < 0).any() | (strides < 0).any() | (offsets < 0).any() | (last[filled] >= buffer.numel()).any()):
            raise ValueError("a member reaches outside of its buffer")
        return torch._nested_view_from_buffer(buffer, sizes, strides, offsets)

    def _meta(self, record: TensorRecord) -> torch.Tensor:
        import torch

        return torch.empty_strided(record.shape, record.stride, dtype=self._dtype(record.dtype), device="meta")

    def _dtype(self, name: str) -> torch.dtype:
        import torch

        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise CannotRead(
                f"this torch ({torch.__version__}) has no dtype {name}",
                code="version/needs-newer-torch",
                path=self._container.source.path,
                help="read the file with a newer torch",
            )
        return dtype

    def _memory(self, storage: Storage, dtype: str) -> torch.UntypedStorage:
        """Returns the memory of a storage for elements of a dtype: in this machine's byte order, and aligned for it."""
        import torch

        swapped = storage.byteorder != sys.byteorder
        mark = (storage.name, storage.file, dtype if swapped else "")
        if mark not in self._storages:
            raw = self._container.storage_bytes(storage).cast("B")
            known = dtype_named(dtype)
            memory = _over(raw, known.itemsize_bytes if known else 16, mapped=self._mapped)
            if swapped:
                memory = _copied(memory)
                memory.byteswap(getattr(torch, dtype))  # type: ignore[no-untyped-call]
            self._storages[mark] = memory
        return self._storages[mark]


def _over(raw: memoryview, width: int, *, mapped: bool) -> torch.UntypedStorage:
    """Returns a storage over these bytes themselves; over a copy where torch could not write to them or they are not aligned."""
    import torch

    if not len(raw):
        return torch.empty(0, dtype=torch.uint8).untyped_storage()
    if raw.readonly:
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).untyped_storage()
    view = torch.frombuffer(raw, dtype=torch.uint8)
    return (view if mapped and view.data_ptr() % width == 0 else view.clone()).untyped_storage()


def _copied(memory: torch.UntypedStorage) -> torch.UntypedStorage:
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(memory, 0, (memory.nbytes(),), (1,)).clone().untyped_storage()


def _typed(memory: torch.UntypedStorage, dtype: torch.dtype) -> torch.storage.TypedStorage:
    from torch.storage import TypedStorage

    make: Any = TypedStorage  # its constructor has no annotations
    typed: TypedStorage = make(wrap_storage=memory, dtype=dtype, _internal=True)
    return typed


def _differentiable(tensor: Any) -> bool:
    return bool(tensor.is_floating_point() or tensor.is_complex())
