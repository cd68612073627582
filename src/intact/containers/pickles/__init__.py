"""Pickles read without running anything: our own loop over the opcodes, an allowlist, and inert records for the rest.

No callable that a file names is ever looked up or called, and no module is imported. What tensors and plain data need is built
from our own types; everything else is a `Foreign` that says what the file says.
"""

from __future__ import annotations

from intact.containers.pickles.dangers import dangers_of, grade
from intact.containers.pickles.machine import Machine, PersistentLoad
from intact.containers.pickles.missing import has_moved, is_missing
from intact.containers.pickles.opcodes import TABLE
from intact.containers.pickles.others import begins_as_pickle, merged, names_in
from intact.containers.pickles.values import Buffer, ForeignTensor, GlobalName, Memory, Size, StorageView, Unpickled, part_of

__all__ = [
    "Buffer",
    "ForeignTensor",
    "GlobalName",
    "Memory",
    "Size",
    "StorageView",
    "Unpickled",
    "begins_as_pickle",
    "dangers_of",
    "grade",
    "has_moved",
    "is_missing",
    "load",
    "merged",
    "names_in",
    "part_of",
]


def load(
    data: Buffer,
    *,
    begin: int = 0,
    persistent_load: PersistentLoad | None = None,
    memory: Memory | None = None,
    path: str = "",
) -> Unpickled:
    """Returns what one pickle holds.

    Args:
        data: The bytes that hold it; may go on behind it.
        begin: Byte at which it begins.
        persistent_load: Makes the value of a persistent id; without one it is an inert record.
        memory: Holds the values that stand in the pickle itself; without one, tensors of that kind are inert records.
        path: The file, for errors.

    Raises:
        Damaged: It ends early (`file/truncated`), or its opcodes contradict each other (`file/bad-header`).
        TooLarge: It would take more memory than its size can justify (`safety/archive-bomb`).
    """
    return Machine(data, begin, persistent_load=persistent_load, memory=memory, path=path).run(TABLE)
