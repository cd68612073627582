"""The pickle of a torch archive, made of the inert objects of any container.

Tensors are written as torch writes them, storages by persistent ids; objects of foreign classes as mappings that say what they
were. The result names nothing that `torch.load` refuses by default, except where a plain Python type is itself refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intact.arrays import number_of
from intact.assembly import Assembler
from intact.containers.streams import is_plain
from intact.core.container import Container, Foreign, Storage, TensorRecord
from intact.reading import read_as

if TYPE_CHECKING:
    import torch


class _Tensor:
    """Stands for a tensor until it is pickled."""

    def __init__(self, record: TensorRecord, *, bare: bool = False) -> None:
        self.record = record
        self.bare = bare


class _Storage:
    """Stands for a storage until it is pickled."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage


class _StandIns:
    """Makes stand-ins where a reader would make tensors; one for each record, so that identity is kept."""

    def tensor(self, record: TensorRecord) -> Any:
        """Returns what stands for a tensor."""
        return _Tensor(record)

    def storage(self, storage: Storage) -> Any:
        """Returns what stands for a storage."""
        return _Storage(storage)

    def plain(self, value: Any) -> Any:
        """Returns the Python number that a number of NumPy is; NumPy's own functions are refused by `torch.load`."""
        return number_of(value)


def pickled_objects(container: Container, content: Any) -> tuple[bytes, Mapping[str, Storage | memoryview]]:
    """Returns the pickle of inert objects, and the storages that it refers to, by key, in the order of their first mention.

    Args:
        container: Where the tensors are.
        content: Its objects, or some of them.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, container)
    pickler.dump(read_as(_StandIns(), content))
    return buffer.getvalue(), pickler.storages


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, container: Container) -> None:
        super().__init__(file, protocol=2)
        import torch

        self._torch = torch
        self._typed: dict[Any, str] = dict(torch.storage._dtype_to_storage_type_map())
        self._container = container
        self._assembler: Assembler | None = None
        self._keys: dict[tuple[str, str], str] = {}
        self._made: dict[int, tuple[Any, str]] = {}
        self.storages: dict[str, Storage | memoryview] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Returns the id of a storage, None for anything else."""
        torch = self._torch
        if isinstance(obj, _Storage):
            storage = obj.storage
            dtype = getattr(torch, storage.dtype, None)
            name = self._typed.get(dtype, "UntypedStorage")
            kind = torch.storage.UntypedStorage if name == "UntypedStorage" else getattr(torch, name)
            width = 1 if name == "UntypedStorage" or dtype is None else max(1, dtype.itemsize)
            key = self._key((storage.name, storage.file), storage)
            return ("storage", kind, key, "cpu", storage.size_bytes // width)
        if isinstance(obj, torch.storage.TypedStorage):
            name = self._typed.get(obj.dtype, "UntypedStorage")
            untyped = obj._untyped_storage
            return (
                "storage",
                getattr(torch, name),
                self._own_key(untyped),
                "cpu",
                untyped.nbytes() // max(1, obj.dtype.itemsize),
            )
        if isinstance(obj, torch.UntypedStorage):
            return ("storage", torch.UntypedStorage, self._own_key(obj), "cpu", obj.nbytes())
        return None

    def reducer_override(self, obj: Any) -> Any:
        """Returns how a stand-in, or an object of a foreign class, is pickled."""
        utils = self._torch._utils
        if isinstance(obj, _Tensor):
            record = obj.record
            if record.parameter and not obj.bare:
                return (utils._rebuild_parameter, (_Tensor(record, bare=True), record.requires_grad, OrderedDict()))
            return self._reduced(record)
        if isinstance(obj, Foreign):
            return (OrderedDict, (), None, None, _said_of(obj))
        if isinstance(obj, self._torch.storage.TypedStorage | self._torch.UntypedStorage):
            raise TypeError("a storage is pickled by its id")
        if type(obj).__module__ == "numpy" and type(obj).__name__ == "ndarray" and obj.dtype.kind in "biufc":
            return self._reduced_by_torch(self._torch.from_numpy(obj.astype(obj.dtype.newbyteorder("="))))
        return NotImplemented

    def _reduced(self, record: TensorRecord) -> Any:
        utils = self._torch._utils
        if is_plain(record) and record.storage is not None:
            storage = _Storage(record.storage)
            learning = record.requires_grad and not record.parameter
            hooks: OrderedDict[str, Any] = OrderedDict()
            dtype = getattr(self._torch, record.dtype)
            typed = self._typed.get(getattr(self._torch, record.storage.dtype, None)) is not None
            if typed and record.dtype == record.storage.dtype:
                return (utils._rebuild_tensor_v2, (storage, record.offset, record.shape, record.stride, learning, hooks))
            untyped = _Storage(_untyped(record.storage))
            arguments = (untyped, record.offset, record.shape, record.stride, learning, hooks, dtype)
            return (utils._rebuild_tensor_v3, arguments)
        if self._assembler is None:
            self._assembler = Assembler(self._container, mapped=True)
        tensor: torch.Tensor = self._assembler.tensor(record).detach()
        return self._reduced_by_torch(tensor)

    def _reduced_by_torch(self, tensor: torch.Tensor) -> Any:
        reduce: Any = tensor.__reduce_ex__
        return reduce(2)

    def _key(self, identity: tuple[str, str], storage: Storage) -> str:
        key = self._keys.setdefault(identity, str(len(self._keys) + len(self._made)))
        self.storages.setdefault(key, storage)
        return key

    def _own_key(self, storage: torch.UntypedStorage) -> str:
        """Returns the key of a storage that was made in memory."""
        if storage.data_ptr() not in self._made:
            key = str(len(self._keys) + len(self._made))
            self._made[storage.data_ptr()] = (storage, key)
            content = self._torch.empty(0, dtype=self._torch.uint8).set_(storage).numpy()
            self.storages[key] = memoryview(content.data).cast("B")
        return self._made[storage.data_ptr()][1]


def _untyped(storage: Storage) -> Storage:
    from dataclasses import replace

    return replace(storage, dtype="untyped")


def _said_of(value: Foreign) -> Iterator[tuple[str, Any]]:
    """Yields what is known of an object whose class is not resolved."""
    yield "class", value.name
    for name in ("args", "state", "items"):
        if (part := getattr(value, name)) is not None:
            yield name, part
