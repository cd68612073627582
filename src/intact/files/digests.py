"""Digests of bytes in memory: XXH3-128 in chunks, so that damage is noticed at the speed of reading and located.

XXH3 is no cryptographic function: whoever means to deceive can make bytes with a given digest. Against that stands BLAKE3 (or
SHA-256) of whole files, compared with a value that is kept elsewhere. The library releases Python's lock while it digests, so
work is shared between threads; each gets one run of neighbouring bytes, because page faults of one mapping are cheapest in order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import xxhash

from intact.files.progress import is_watched, working

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

ALGORITHM: Literal["xxh3-128"] = "xxh3-128"
DIGEST_BYTES = 16

CHUNK_BYTES = 1 << 20
"""Bytes behind one digest: small enough to say where damage is, large enough that calls cost nothing (50 microseconds each)."""

THREADS = max(1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
"""Threads that digest; at 20 GB/s each, four are more than the memory of any machine delivers."""

PIECE_BYTES = 32 << 20
"""Bytes after which a thread says how far it is."""

SINGLE_BYTES = 4 << 20
"""Below this much, starting threads takes longer than they save."""

digest = xxhash.xxh3_128_digest
"""Bytes to their 16 bytes of XXH3-128, in the canonical (big-endian) form."""


def chunk_count(size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Returns how many digests a run of bytes has: one for each chunk, one for an empty run."""
    return max(1, -(-size_bytes // chunk_bytes))


def digests_of(content: memoryview, chunk_bytes: int = CHUNK_BYTES) -> bytes:
    """Returns the digests of the chunks of a run, one after the other."""
    if len(content) <= chunk_bytes:
        return digest(content)
    return b"".join([digest(content[begin : begin + chunk_bytes]) for begin in range(0, len(content), chunk_bytes)])


def in_shares(items: Sequence[T], sizes: Sequence[int], work: Callable[[Sequence[T]], None], what: str = "reading") -> None:
    """Works off items on several threads, each with one run of neighbours of about the same number of bytes.

    Args:
        items: What is to be worked on, in the order in which it lies in memory.
        sizes: Bytes of each.
        work: Works off some of them; called once for each thread, and for pieces of that where somebody watches.
        what: For whoever watches.

    Raises:
        BaseException: Whatever the work of a thread raised, the first of them; the others are waited for.
    """
    parts = list(_shares(items, sizes))
    failed: list[BaseException] = []
    with working(what, sum(sizes)) as advance:
        _worked_off(parts, work, failed, advance)
    if failed:
        raise failed[0]


def _worked_off(
    parts: list[tuple[Sequence[T], Sequence[int]]],
    work: Callable[[Sequence[T]], None],
    failed: list[BaseException],
    advance: Callable[[int], None],
) -> None:
    def guarded(part: tuple[Sequence[T], Sequence[int]]) -> None:
        try:
            for piece, size_bytes in _pieces(*part) if is_watched() else [(part[0], 0)]:
                work(piece)
                advance(size_bytes)
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failed.append(error)

    others = [_workers().submit(guarded, part) for part in parts[1:]]
    try:
        if parts:
            guarded(parts[0])
    finally:
        for other in others:
            other.result()


def _pieces(items: Sequence[T], sizes: Sequence[int]) -> Iterator[tuple[Sequence[T], int]]:
    """Runs of about so many bytes that it is seen how far the work is."""
    begin = held = 0
    for end, size in enumerate(sizes, 1):
        held += size
        if held >= PIECE_BYTES or end == len(sizes):
            yield items[begin:end], held
            begin, held = end, 0


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    """The threads, kept for the life of the process: starting one takes as long as digesting 40 MB."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, thread_name_prefix="intact-digest")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not survive a fork


def _shares(items: Sequence[T], sizes: Sequence[int]) -> Iterator[tuple[Sequence[T], Sequence[int]]]:
    total = sum(sizes)
    if total < SINGLE_BYTES or THREADS == 1:
        yield items, sizes
        return
    begin, reached = 0, list(accumulate(sizes))
    for number in range(1, THREADS + 1):
        end = begin
        while end < len(items) and (number == THREADS or reached[end] - sizes[end] / 2 <= total * number / THREADS):
            end += 1
        if end > begin:
            yield items[begin:end], sizes[begin:end]
        begin = end


def file_digest(path: Path, algorithm: str) -> str:
    """Returns the digest of a file, as `b3sum` or `sha256sum` print it.

    Args:
        path: The file.
        algorithm: `blake3` or `sha256`.

    Raises:
        OSError: It cannot be read.
    """
    if algorithm == "blake3":
        import blake3

        return blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(path).hexdigest()
    import hashlib

    whole = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while piece := stream.read(8 << 20):
            whole.update(piece)
    return whole.hexdigest()


def bytes_digest(content: bytes, algorithm: str) -> str:
    """Returns the digest of bytes, as `file_digest` does of a file that holds them."""
    if algorithm == "blake3":
        import blake3

        return blake3.blake3(content).hexdigest()
    import hashlib

    return hashlib.new(algorithm, content).hexdigest()
