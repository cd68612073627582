"""CRC-32 as zip archives keep it, and what a wrong one tells: where a single flipped bit must be.

The difference between two checksums of equally long contents depends on where they differ and on nothing else. If it is one bit,
the difference is a power of a fixed matrix over the bits of the checksum, and which power says how far that bit is from the end.
The powers do not repeat before 2^32 - 1, so that below 512 MiB there is at most one such bit.

Source:
    ITU-T V.42, 8.1.1.6.2; the reflected polynomial 0xEDB88320 of zip and zlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:  # pragma: no cover - on platforms without a wheel
    from zlib import crc32

POLYNOMIAL = 0xEDB88320
LARGEST_BYTES = (1 << 29) - 1
"""From here on two bits may have the same effect on a checksum."""

_STRIDE_BITS = 1 << 16


def flipped_bit(size_bytes: int, difference: int) -> tuple[int, int] | None:
    """Returns byte and bit (0 is the lowest) of the only single flip that turns one checksum into another, None where none does.

    Args:
        size_bytes: Length of the content.
        difference: The two checksums, exclusive or.
    """
    if not difference or not 0 < size_bytes <= LARGEST_BYTES:
        return None
    near, back = _near(), _tables(_inverse_power(_STRIDE_BITS))
    bits, value = 8 * size_bytes, difference
    for strides in range(bits // _STRIDE_BITS + 1):
        steps = near.get(value)
        if steps is not None:
            behind = strides * _STRIDE_BITS + steps
            if 0 < behind <= bits:
                place = bits - behind
                return place // 8, place % 8
        value = back[0][value & 255] ^ back[1][value >> 8 & 255] ^ back[2][value >> 16 & 255] ^ back[3][value >> 24]
    return None


def _step(value: int) -> int:
    """What one further bit of content makes of a difference."""
    return value >> 1 ^ (POLYNOMIAL if value & 1 else 0)


@lru_cache(maxsize=1)
def _near() -> dict[int, int]:
    """Difference to how many bits stand between the flipped bit and the end, itself included, for the nearest ones."""
    found, value = {}, 1
    for steps in range(1, _STRIDE_BITS + 1):
        value = _step(value)
        found[value] = steps
    return found


@lru_cache(maxsize=1)
def _inverse_power(exponent: int) -> tuple[int, ...]:
    """The inverse of `_step`, repeated: for each bit of a difference what becomes of it."""
    # The inverse of a step: the polynomial's highest bit tells whether it was added.
    square = tuple(_back(1 << bit) for bit in range(32))
    result = tuple(1 << bit for bit in range(32))
    while exponent:
        if exponent & 1:
            result = tuple(_applied(square, column) for column in result)
        square = tuple(_applied(square, column) for column in square)
        exponent >>= 1
    return result


def _back(value: int) -> int:
    return (value ^ POLYNOMIAL) << 1 & 0xFFFFFFFF | 1 if value >> 31 else value << 1


def _applied(columns: Sequence[int], value: int) -> int:
    result = 0
    for bit in range(32):
        if value >> bit & 1:
            result ^= columns[bit]
    return result


def _tables(columns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The same map by bytes, which is eight times faster."""
    return tuple(tuple(_applied(columns, byte << shift) for byte in range(256)) for shift in (0, 8, 16, 24))


__all__ = ["LARGEST_BYTES", "crc32", "flipped_bit"]
