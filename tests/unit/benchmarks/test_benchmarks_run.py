"""Every benchmark at small size: its files are made, its contestants agree, its record has figures. Times are not judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import (
    bench_check_prefix,
    bench_diff,
    bench_inspect,
    bench_load,
    bench_read,
    bench_save,
    bench_survey,
    make_readme,
    measuring,
    run,
)


def test_inspect_agrees_with_the_peers_and_imports_no_torch(tmp_path: Path) -> None:
    """The benchmark itself asserts both; a header that it reads otherwise would make its figure worthless."""
    tables = bench_inspect.run(tmp_path, tensors=3, rows=2, rounds=1)
    assert [table.title for table in tables] == ["safetensors", "torch zip"]
    assert all(row.peak_bytes > 0 and len(row.runs_s) == 1 for table in tables for row in table.rows)


def test_a_sparse_file_takes_no_room_and_has_its_full_length(tmp_path: Path) -> None:
    """5 GB of zeros on disk would measure the disk."""
    size = bench_inspect.make_files(tmp_path, tensors=4, rows=4096)
    for name in bench_inspect.FILES.values():
        status = (tmp_path / name).stat()
        assert status.st_size > size
        assert status.st_blocks * 512 < size // 16


def test_check_prefix_finds_the_one_cause_and_both_ways_load_the_same(tmp_path: Path) -> None:
    """The benchmark asserts the code and the bits before it times anything."""
    (table,) = bench_check_prefix.run(tmp_path, keys=60, rounds=1)
    assert [row.contestant for row in table.rows] == [bench_check_prefix.CHECK, bench_check_prefix.LOAD, bench_check_prefix.HAND]


def test_read_gives_the_same_bytes_as_torch_and_safetensors(tmp_path: Path) -> None:
    """Whoever reads fewer bytes is faster."""
    tables = bench_read.run(tmp_path, tensors=3, rows=2, rounds=1)
    assert [len(table.rows) for table in tables] == [4, 3]


def test_what_is_saved_is_compared_before_it_is_timed(tmp_path: Path) -> None:
    """A save that leaves something out is faster."""
    tables = bench_save.run(tmp_path, 200_000, 12, rounds=1)
    assert [table.title for table in tables] == ["save, in the page cache", "save, on the disk"]
    assert all(len(table.rows) == 3 for table in tables)
    assert bench_save.peak_share(tmp_path, 2_000_000, 12) >= 0


def test_what_is_loaded_is_compared_before_it_is_timed(tmp_path: Path) -> None:
    """The model is set to zero before each contestant, so that one that loads nothing is found out."""
    tables = bench_load.run(tmp_path, 200_000, 12, rounds=1)
    assert [table.title for table in tables] == ["load, in the page cache", "load, dropped from the page cache"]
    assert bench_load.peak_share(tmp_path, 2_000_000, 12) >= 0


def test_what_is_compared_is_told_apart_before_it_is_timed(tmp_path: Path) -> None:
    """A comparison that finds nothing is faster."""
    (table,) = bench_diff.run(tmp_path, tensors=3, rows=2, rounds=1)
    assert len(table.rows) == 3


def test_what_is_surveyed_has_its_figures_before_it_is_timed(tmp_path: Path) -> None:
    """Whoever looks at fewer values is faster."""
    tables = bench_survey.run(tmp_path, tensors=3, rows=64, rounds=1)
    assert [table.title for table in tables] == list(bench_survey.DTYPES)
    assert all(len(table.rows) == 3 for table in tables)


def test_private_memory_is_that_of_the_call() -> None:
    """A peak that is sampled too rarely flatters."""
    grown = measuring.peak_private_bytes(lambda: bytes(bytearray(64 << 20)))
    assert 100 << 20 < grown < 200 << 20


def test_a_ratio_is_taken_within_each_round() -> None:
    """A machine that grows slower would otherwise favour whoever ran first."""
    table = measuring.Table("t", (measuring.Row("a", (1.0, 20.0, 3.0)), measuring.Row("b", (2.0, 40.0, 1.0))))
    assert measuring.paired_ratio(table, "a", "b") == 0.5


def test_contestants_run_in_turn_and_the_warming_run_is_not_kept() -> None:
    """A first run pays for caches that the others find filled."""
    seen: list[str] = []

    def taking(name: str, seconds: float) -> float:
        seen.append(name)
        return seconds

    rows = measuring.in_turn({"a": lambda: taking("a", 1.0), "b": lambda: taking("b", 2.0)}, rounds=3)
    assert [(row.contestant, row.median_s, len(row.runs_s)) for row in rows] == [("a", 1.0, 3), ("b", 2.0, 3)]
    assert sorted(seen) == ["a"] * 4 + ["b"] * 4


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """A crash is fast."""
    with pytest.raises(RuntimeError, match="ended with 3"):
        measuring.process(["sh", "-c", "exit 3"], tmp_path)


def test_the_peak_of_a_small_process_is_not_that_of_its_large_parent(tmp_path: Path) -> None:
    """The system counts the memory of the process that starts a child as the child's own."""
    held = bytearray(128 << 20)
    held[::4096] = b"x" * len(range(0, len(held), 4096))
    small, large = (
        measuring.process([sys.executable, "-c", f"x = bytearray({size}); x[::4096] = b'x' * len(x[::4096])"], tmp_path)[1]
        for size in (1, 64 << 20)
    )
    assert small < 64 << 20 < large < small + (80 << 20)


def test_a_record_names_machine_versions_file_system_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure without them cannot be compared with the next one."""
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    table = measuring.Table("t", (measuring.Row("x", (1.0, 3.0, 2.0)),), {"keys": 5})
    path = measuring.record("name", "q?", "a", "warm", [table], tmp_path)
    plain = json.loads(path.read_text())
    assert {"cpu", "cores", "memory_bytes", "file_system", "torch", "python"} <= set(plain["machine"])
    assert "| x | 2,000.0 | 1,000.0 | 1.00 |" in make_readme.section(plain)
    assert "page cache warm" in make_readme.section(plain)


def test_every_benchmark_file_is_run_by_make_bench() -> None:
    """A benchmark that nobody runs grows stale."""
    files = {path.stem.removeprefix("bench_") for path in Path(run.__file__).parent.glob("bench_*.py")}
    assert files == set(run.BENCHMARKS)
