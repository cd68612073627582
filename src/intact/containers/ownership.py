"""Entries of one shard, marked as that shard's, so that storages of the same name in two shards stay apart.

The entries of a shard may be any graph of plain objects: one object stays one object, what leads back to itself still does, and
depth is bounded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from intact.core.container import Foreign, TensorRecord

NESTING_LIMIT = 100
"""Depth to which entries are followed; shards are flat mappings by construction."""


class Ownership:
    """The conversion of one shard's entries.

    Args:
        file: Name of the shard within its set.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._converted: dict[int, tuple[object, Any]] = {}  # the original is kept, so that its id stays its own

    def record(self, record: TensorRecord) -> TensorRecord:
        """Returns a tensor whose storage names its file."""
        if id(record) not in self._converted:
            storage = replace(record.storage, file=self._file) if record.storage is not None else None
            parts = {name: self.record(part) for name, part in record.parts.items()}
            self._converted[id(record)] = (record, replace(record, storage=storage, parts=parts))
        converted: TensorRecord = self._converted[id(record)][1]
        return converted

    def of(self, value: Any, depth: int = 0) -> Any:
        """Returns an entry with all tensors in it converted; what is no container of others comes back as it is."""
        if isinstance(value, TensorRecord):
            return self.record(value)
        if not isinstance(value, (dict, list, tuple, Foreign)) or depth >= NESTING_LIMIT:
            return value
        if id(value) in self._converted:
            return self._converted[id(value)][1]
        if isinstance(value, tuple):
            own: Any = tuple(self.of(item, depth + 1) for item in value)
            self._converted[id(value)] = (value, own)
        else:
            own = Foreign(value.name) if isinstance(value, Foreign) else type(value)()
            self._converted[id(value)] = (value, own)  # before its content, which may lead back to it
            self._fill(value, own, depth + 1)
        return own

    def _fill(self, value: Any, own: Any, depth: int) -> None:
        if isinstance(value, Foreign):
            for part in ("args", "state", "items"):
                setattr(own, part, self.of(getattr(value, part), depth))
        elif isinstance(value, dict):
            own.update((key, self.of(item, depth)) for key, item in value.items())
        else:
            own.extend(self.of(item, depth) for item in value)
