"""What can be said of one tensor of a damaged checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Proof = Literal["digest", "crc32", "extent"]
State = Literal["whole", "restored", "suspicious", "lost"]


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit that was flipped back.

    Attributes:
        record: Part of the file whose CRC-32 agrees again.
        byte: Which byte of the part, from 0.
        bit: Which bit of that byte, 0 for the lowest.
        false_chance: How likely damage of another kind would be taken for a flip somewhere, in a part of this size.
    """

    record: str
    byte: int
    bit: int
    false_chance: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What can be said of one tensor.

    Attributes:
        key: Its key in the checkpoint.
        state: `whole`, `restored` (whole once a bit is flipped back), `suspicious` or `lost`.
        proof: What shows that it is whole; None where nothing does.
        why: What is wrong with it; "" for a whole one.
        flip: What restored it.
    """

    key: str
    state: State
    proof: Proof | None = None
    why: str = ""
    flip: Flip | None = None
