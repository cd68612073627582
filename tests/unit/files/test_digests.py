"""Digests: what others compute of the same bytes, whatever the number of threads and the size of the chunks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import blake3
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from intact.files import digests
from intact.files.digests import DIGEST_BYTES, bytes_digest, chunk_count, digests_of, file_digest, in_shares


@given(st.binary(max_size=5_000), st.integers(1, 2_000))
def test_each_chunk_has_the_digest_that_xxhash_gives(content: bytes, chunk_bytes: int) -> None:
    """Others have to be able to compute them."""
    chunks = [content[begin : begin + chunk_bytes] for begin in range(0, len(content), chunk_bytes)] or [b""]
    made = digests_of(memoryview(content), chunk_bytes)
    assert made.hex() == "".join(xxhash.xxh3_128_hexdigest(chunk) for chunk in chunks)
    assert len(made) == DIGEST_BYTES * chunk_count(len(content), chunk_bytes)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("sizes", [[], [0], [5 << 20], [1] * 10, [1 << 20] * 30, [0, 9 << 20, 0, 1, 8 << 20], [100 << 20, 1, 1]])
def test_every_item_is_worked_off_once_and_in_runs(threads: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that fell between two shares would never be verified."""
    monkeypatch.setattr(digests, "THREADS", threads)
    parts: list[list[int]] = []
    in_shares(range(len(sizes)), sizes, lambda part: parts.append(list(part)))
    assert sorted(item for part in parts for item in part) == list(range(len(sizes)))
    assert all(part == list(range(part[0], part[-1] + 1)) for part in parts if part)
    assert len(parts) <= threads


def test_what_a_thread_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that stays in its thread would look like success."""
    monkeypatch.setattr(digests, "THREADS", 4)

    def work(part: object) -> None:
        if 20 in list(part):  # type: ignore[call-overload]
            raise OSError("a page that cannot be read")

    with pytest.raises(OSError, match="a page"):
        in_shares(range(24), [1 << 20] * 24, work)


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 70_000], ids=["empty", "byte", "large"])
def test_whole_files_have_the_digests_that_common_tools_print(content: bytes, tmp_path: Path) -> None:
    """Who pins a checkpoint compares with `sha256sum` and `b3sum`."""
    (tmp_path / "f").write_bytes(content)
    assert file_digest(tmp_path / "f", "sha256") == bytes_digest(content, "sha256") == hashlib.sha256(content).hexdigest()
    assert file_digest(tmp_path / "f", "blake3") == bytes_digest(content, "blake3") == blake3.blake3(content).hexdigest()
