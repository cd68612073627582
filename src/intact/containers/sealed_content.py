"""What a manifest adds to the plain content of a safetensors file or set: tied keys, order, entries, the record of the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from intact.containers.shown import listed
from intact.core.container import Storage, TensorRecord
from intact.core.description import Description, ModuleInfo
from intact.core.dtype import dtype_named
from intact.core.entries import decode
from intact.core.manifest import Manifest, in_order
from intact.core.tensor import TensorInfo
from intact.errors import Damaged

if TYPE_CHECKING:
    from intact.containers.objects import Walked


def sealed_description(plain: Description, manifest: Manifest) -> Description:
    """Returns a description with everything that the manifest tells.

    Args:
        plain: Of the bytes alone.
        manifest: Of that file or set; checked against it.
    """
    recorded = _modules(manifest)
    tensors = dict(plain.tensors)
    if manifest.shard is None:
        aliases = manifest.aliases
        tensors.update((key, replace(tensors[kept], key=key, source=key)) for key, kept in aliases.items())
        tensors = {key: tensors[key] for key in in_order(plain.tensors, manifest)}
    return replace(
        plain,
        tensors=tensors,
        ties=manifest.ties if manifest.shard is None else (),
        absent={row.key: TensorInfo(row.key, row.dtype, row.shape, "buffer") for row in manifest.absent},
        meaningful_order=True,
        metadata={**(dict.fromkeys(recorded, 1) if manifest.modules else {}), **manifest.versions},
        recorded=recorded,
    )


def _modules(manifest: Manifest) -> Mapping[str, ModuleInfo]:
    """The modules of the model that was saved; none where this intact cannot read the record of a later one."""
    if not manifest.architecture:
        return {}
    from intact.core.architecture import read_modules

    try:
        return read_modules(manifest.architecture)
    except ValueError:
        return {}


class Entries:
    """The entries of a sealed state dict that are no tensors, decoded when they are first asked for.

    Args:
        encoded: Of the manifest.
        path: The file, for errors.
    """

    def __init__(self, encoded: Mapping[str, Any], path: str) -> None:
        self._encoded = encoded
        self._path = path
        self._held: dict[str, bytes] = {}

    @cached_property
    def objects(self) -> dict[str, Any]:
        """Key to entry, with tensor records in it.

        Raises:
            Damaged: They are malformed.
        """
        try:
            return {key: decode(value, self._tensor) for key, value in self._encoded.items()}
        except ValueError as error:
            raise Damaged(f"the manifest contradicts itself: {error}", code="file/bad-header", path=self._path) from None

    @cached_property
    def walked(self) -> Walked:
        """The tensors within them by path, and everything else."""
        from intact.containers.objects import walk  # with it comes the reader of pickles, which most checkpoints have no use for

        return walk(self.objects, (), self._path)

    def check(self, keys: Collection[str]) -> None:
        """Raises where they are malformed, or hold a tensor under one of the keys of the checkpoint.

        Raises:
            Damaged: They do (`file/bad-header`).
        """
        if self._encoded and (both := self.walked.records.keys() & set(keys)):
            raise Damaged(
                f"the manifest contradicts itself: {listed(sorted(both))} within an entry and as a key",
                code="file/bad-header",
                path=self._path,
            )

    def described(self, plain: Description) -> Description:
        """Returns a description with what the entries hold."""
        if not self._encoded:
            return plain
        own = self.walked.description
        return replace(
            plain,
            tensors={**plain.tensors, **own.tensors},
            extras=(*plain.extras, *own.extras),
            extra_state=(*plain.extra_state, *own.extra_state),
        )

    def record(self, key: str) -> TensorRecord | None:
        """Returns a tensor within an entry."""
        return self.walked.records.get(key) if self._encoded else None

    def bytes_of(self, storage: Storage) -> memoryview | None:
        """Returns the bytes of such a tensor; None for the storage of any other."""
        held = self._held.get(storage.name) if storage.begin < 0 and not storage.file else None
        return memoryview(held) if held is not None else None

    def _tensor(self, dtype: str, shape: tuple[int, ...], content: bytes) -> TensorRecord:
        known = dtype_named(dtype)
        if known is None or prod(shape) * known.itemsize_bytes != len(content):
            raise ValueError("a tensor within an entry has other bytes than its shape takes")
        name = f"{len(self._held)} of the manifest"
        self._held[name] = content
        stride = tuple(prod(max(size, 1) for size in shape[position + 1 :]) for position in range(len(shape)))
        return TensorRecord(Storage(name, dtype, len(content)), dtype, shape, stride)
