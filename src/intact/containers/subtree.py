"""One entry of an open checkpoint as if it were one of its own, so that a model beside an optimizer is examined alone."""

from __future__ import annotations

from typing import Any

from intact.containers.objects import walk
from intact.core.container import Container, Storage, TensorRecord
from intact.core.description import Description, Source


class Subtree:
    """A part of a container; the bytes are those of the whole, which stays open.

    Args:
        container: The whole.
        node: What stands at the entry.
    """

    def __init__(self, container: Container, node: Any) -> None:
        self._container = container
        self._node = node
        self._walked = walk(node, (), container.source.path)

    @property
    def source(self) -> Source:
        """The whole checkpoint."""
        return self._container.source

    def describe(self) -> Description:
        """Returns what the entry holds, keys without the entry's own name."""
        return self._walked.description

    def objects(self) -> Any:
        """Returns the entry."""
        return self._node

    def record(self, key: str) -> TensorRecord:
        """Returns one of its tensors."""
        return self._walked.records[key]

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of a storage."""
        return self._container.storage_bytes(storage)

    def close(self) -> None:
        """Leaves the whole open."""
