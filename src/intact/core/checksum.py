"""A checksum that a container keeps of a part of itself, beside the bytes that it is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checksum:
    """One checksum.

    Attributes:
        record: Name of the part, as the container has it (`archive/data/7`).
        expected: The CRC-32 that was kept; 0 for a part that none was kept of.
        content: The bytes that it is of.
        begin: First of them in the file, -1 where they do not stand there as they are (compressed).
        storage: Name of the storage that they are; "" for a part that is none.
        main: Whether it is the part that says what the tensors are.
    """

    record: str
    expected: int
    content: memoryview
    begin: int = -1
    storage: str = ""
    main: bool = False
