"""CRC-32 and what a wrong one tells."""

from __future__ import annotations

import random
import zlib

import pytest

from intact.files.crc32 import LARGEST_BYTES, crc32, flipped_bit


def test_the_checksum_is_that_of_zip() -> None:
    """Whichever library computes it."""
    content = random.Random(1).randbytes(100_003)
    assert crc32(content) == zlib.crc32(content)


@pytest.mark.parametrize("size", [1, 2, 3, 255, 8191, 8192, 8193, 65_537, 1 << 20])
def test_a_single_flipped_bit_is_found(size: int) -> None:
    """Wherever it is, the first and the last included."""
    dice = random.Random(size)
    content = bytearray(dice.randbytes(size))
    before = zlib.crc32(content)
    for byte in {0, size - 1, *(dice.randrange(size) for _ in range(20))}:
        bit = dice.randrange(8)
        content[byte] ^= 1 << bit
        assert flipped_bit(size, before ^ zlib.crc32(content)) == (byte, bit)
        content[byte] ^= 1 << bit


def test_other_damage_is_not_taken_for_a_flipped_bit() -> None:
    """A thousand bytes have eight thousand bits, among four thousand million differences."""
    dice = random.Random(5)
    content = bytearray(dice.randbytes(1000))
    before = zlib.crc32(content)
    for _ in range(300):
        damaged = bytearray(content)
        begin = dice.randrange(900)
        damaged[begin : begin + 64] = dice.randbytes(64)
        assert flipped_bit(1000, before ^ zlib.crc32(damaged)) is None


def test_equal_checksums_and_sizes_beyond_proof_have_no_flip() -> None:
    """From half a gigabyte on two bits may have one effect."""
    assert flipped_bit(100, 0) is None
    assert flipped_bit(0, 1) is None
    assert flipped_bit(LARGEST_BYTES + 1, 1) is None
