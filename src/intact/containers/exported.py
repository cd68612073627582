"""Programs of torch.export (`.pt2`): the weights beside the graph, by the names that the state dict had.

Since 2.8 an archive holds raw weights and a JSON list of them; before that, torch archives inside the archive. The graph is not
looked at. What else is pickled in it (sample inputs, objects) stays inert.

Source:
    torch 2.13 `export/pt2_archive/_package.py` and `_export/serde/schema.py`; archives of 2.2 to 2.13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

import msgspec

from intact.containers.memory import Held
from intact.containers.pickles import Unpickled, merged
from intact.containers.shown import shown
from intact.containers.torch_legacy import nested_legacy
from intact.containers.zips import Entry, Zip
from intact.core.container import Storage, TensorRecord
from intact.core.description import ForeignName
from intact.core.dtype import dtype_named
from intact.core.remark import Remark
from intact.errors import CannotRead, Damaged

CONFIG_LIMIT_BYTES = 1 << 28
RANK_LIMIT = 64
_WEIGHTS = re.compile(r"(?:.*/)?data/weights/[^/]+_weights_config\.json$")
_CONSTANTS = re.compile(r"(?:.*/)?data/constants/[^/]+_constants_config\.json$")
_SCALAR_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 9: "complex32",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2",
    31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
_STRIDED = 7

REMARK = Remark(
    "file/exported-program",
    "it is a program saved by torch.export: a graph with its weights, which torch.load does not take for a checkpoint",
    "error",
    cause="it was written by torch.export.save, whose archives have another layout",
    help="intact reads the weights without the graph; with torch, use the state dict of what torch.export.load returns",
    opened=True,
)

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**60)]


class _Number(msgspec.Struct):
    as_int: _Size


class _Device(msgspec.Struct):
    type: str = "cpu"
    index: int | None = None


class _Meta(msgspec.Struct):
    dtype: int
    sizes: Annotated[list[_Number], msgspec.Meta(max_length=RANK_LIMIT)]
    strides: Annotated[list[_Number], msgspec.Meta(max_length=RANK_LIMIT)]
    storage_offset: _Number
    layout: int
    device: _Device = msgspec.field(default_factory=_Device)
    requires_grad: bool = False


class _Row(msgspec.Struct):
    path_name: str
    is_param: bool = False
    use_pickle: bool = False
    tensor_meta: _Meta | None = None


class _Config(msgspec.Struct):
    config: dict[str, _Row]


_decode = msgspec.json.Decoder(_Config).decode


def is_exported(archive: Zip) -> bool:
    """Tells whether an archive is one of torch.export, of either layout."""
    names = list(archive.entries)
    return any(_WEIGHTS.match(name) for name in names) or any(
        name.rpartition("/")[2] in ("serialized_exported_program.json", "serialized_state_dict.pt", "serialized_state_dict.json")
        for name in names
    )


class Weights:
    """The weights of one archive.

    Args:
        archive: The archive.
        path: Of the file, for errors.

    Attributes:
        unpickled: The state dict, in place of what a pickle would hold.
        entries: Name of a storage to the record that it is.
    """

    def __init__(self, archive: Zip, path: str) -> None:
        self._archive = archive
        self._path = path
        self._memory = Held(path, nested_legacy)
        self._foreign: list[ForeignName] = []
        self.entries: dict[str, Entry] = {}
        state: dict[str, Any] = {}
        for entry in list(archive.entries.values()):
            if _WEIGHTS.match(entry.name):
                state.update(self._listed(entry))
            elif _CONSTANTS.match(entry.name):
                self._listed(entry)
            elif entry.name.endswith("serialized_state_dict.pt"):
                state.update(self._pickled(entry))
            elif entry.name.endswith(".pt"):
                self._names_in(entry)
        self.unpickled = Unpickled(state, foreign=merged((), self._foreign))

    def bytes_of(self, storage: Storage) -> memoryview:
        """Returns all bytes of a storage.

        Raises:
            Damaged: They are not all there.
        """
        entry = self.entries.get(storage.name)
        return self._archive.content(entry)[: storage.size_bytes] if entry else self._memory.bytes_of(storage)

    def _listed(self, config: Entry) -> dict[str, Any]:
        """Returns what one list of weights names."""
        try:
            rows = _decode(self._archive.content(config, CONFIG_LIMIT_BYTES)).config
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._damaged(f"`{config.name}` is not the list of weights that torch.export writes: {error}") from None
        folder = config.name.rpartition("/")[0]
        storages: dict[str, Storage] = {}
        found: dict[str, Any] = {}
        for key, row in rows.items():
            name = f"{folder}/{row.path_name}"
            if row.tensor_meta is None or name not in self._archive:
                if row.tensor_meta is not None:
                    raise self._damaged(f"the record of `{shown(key)}` is not in the archive")
                continue
            entry = self._archive.entry(name)
            found[key] = self._pickled_tensor(entry) if row.use_pickle else self._record(key, entry, row, storages)
        return found

    def _record(self, key: str, entry: Entry, row: _Row, storages: dict[str, Storage]) -> TensorRecord:
        meta = row.tensor_meta
        assert meta is not None
        dtype = _SCALAR_TYPES.get(meta.dtype, f"ScalarType {meta.dtype}")
        known = dtype_named(dtype)
        width = known.itemsize_bytes if known else 1
        shape, stride = tuple(n.as_int for n in meta.sizes), tuple(n.as_int for n in meta.strides)
        last = meta.storage_offset.as_int + sum((size - 1) * step for size, step in zip(shape, stride, strict=False))
        if len(shape) != len(stride) or meta.layout != _STRIDED:
            raise self._damaged(f"`{shown(key)}` is of no known layout")
        if prod(shape) and (last + 1) * width > entry.size_bytes:
            raise self._damaged(f"`{shown(key)}` reaches outside its record, which has {entry.size_bytes:,} bytes")
        if prod(shape) * width > max(1 << 30, 200 * entry.size_bytes):
            raise self._damaged(f"`{shown(key)}` is far larger than its record")
        device = meta.device.type if meta.device.index is None else f"{meta.device.type}:{meta.device.index}"
        storage = storages.setdefault(entry.name, self._storage(entry, dtype, device))
        self.entries[storage.name] = entry
        return TensorRecord(
            storage, dtype, shape, stride, meta.storage_offset.as_int, requires_grad=meta.requires_grad, parameter=row.is_param
        )

    def _storage(self, entry: Entry, dtype: str, device: str) -> Storage:
        begin = self._archive.data_begin(entry) if entry.method == 0 else -1
        return Storage(entry.name, dtype, entry.size_bytes, device=device, begin=begin)

    def _pickled(self, entry: Entry) -> Mapping[str, Any]:
        value = self._inner(entry)
        if not isinstance(value, dict):
            raise self._damaged(f"`{entry.name}` is no state dict")
        return {key: each for key, each in dict.items(value) if type(key) is str}

    def _pickled_tensor(self, entry: Entry) -> Any:
        return self._inner(entry)

    def _inner(self, entry: Entry) -> Any:
        """Returns what a torch archive inside this one holds; its storages get names of their own."""
        from intact.containers import open_inside  # which knows this module
        from intact.containers.dcp_assembly import renamed
        from intact.containers.dcp_metadata import Place

        content = self._archive.content(entry)
        inner = open_inside(f"{self._path}!{entry.name}", content)
        self._foreign += inner.describe().foreign
        held: dict[str, tuple[Place, Storage]] = {}
        value = renamed(inner.objects(), entry.name, Place("", 0, 0), held)
        for name, (_, storage) in held.items():
            self._memory.hold_view(name, inner.storage_bytes(storage))
        return value

    def _names_in(self, entry: Entry) -> None:
        """Notes what else is named in the archive."""
        from intact.containers import open_inside  # which knows this module

        try:
            found = open_inside(f"{self._path}!{entry.name}", self._archive.content(entry)).describe().foreign
        except CannotRead:
            return
        self._foreign += found

    def _damaged(self, why: str) -> Damaged:
        return Damaged(
            why,
            code="file/bad-header",
            path=self._path,
            help="the file was changed after it was written, or copied badly; fetch or copy it again",
        )
