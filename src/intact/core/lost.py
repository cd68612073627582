"""What a damaged file does not hold any more, noted down by a reader that goes on with the rest."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Lost:
    """Notes of a reader that was asked to go on; one that was not raises an error instead.

    Attributes:
        storages: Name of each storage whose bytes are not all there, and why.
        keys: Key of each tensor that cannot be had for another reason, and why.
        doubted: Key of each tensor whose bytes are there while what describes them is not sure, and why.
        undone: Record that describes the tensors, and the byte and bit in it that had to be flipped back.
    """

    storages: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    doubted: dict[str, str] = field(default_factory=dict)
    undone: dict[str, tuple[int, int]] = field(default_factory=dict)
