"""What all benchmarks share: the machine they ran on, runs in turn, and the record that is kept of them.

Contestants run alternately, in an order shuffled anew in every round, so that a machine that grows slower does so for all.
Ratios within one record mean something; absolute figures are those of one machine.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("intact", "torch", "safetensors", "numpy", "msgspec", "click")


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one contestant.

    Attributes:
        contestant: What ran.
        runs_s: Wall time of each run.
        peak_bytes: Largest resident memory of a run in a process of its own; 0 where it was not measured.
    """

    contestant: str
    runs_s: tuple[float, ...]
    peak_bytes: int = 0

    @property
    def median_s(self) -> float:
        """Returns the median of the runs."""
        return statistics.median(self.runs_s)


@dataclass(frozen=True, slots=True)
class Table:
    """Contestants that did the same on the same file.

    Attributes:
        title: What was done.
        rows: The contestants; the first one is what the others are compared with.
        parameters: Sizes and counts.
    """

    title: str
    rows: tuple[Row, ...]
    parameters: Mapping[str, int | str] = field(default_factory=dict)


def in_turn(contestants: Mapping[str, Callable[[], float]], rounds: int) -> tuple[Row, ...]:
    """Runs each contestant once to warm up and then in every round; each returns the seconds that count.

    Args:
        contestants: Name to what runs.
        rounds: How many runs of each are kept.
    """
    runs: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    shuffled = random.Random(0)
    for number in range(rounds + 1):
        shuffled.shuffle(order)
        for name in order:
            seconds = contestants[name]()
            if number:
                runs[name].append(seconds)
    return tuple(Row(name, tuple(seconds)) for name, seconds in runs.items())


def timed(call: Callable[[], object]) -> float:
    """Returns the wall seconds of a call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def paired_ratio(table: Table, one: str, other: str) -> float:
    """Returns the median, over the rounds, of how long one contestant took beside another in the same round."""
    runs = {row.contestant: row.runs_s for row in table.rows}
    return statistics.median(a / b for a, b in zip(runs[one], runs[other], strict=True))


WATCH = """
import select, sys
def private():
    with open(f"/proc/{sys.argv[1]}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) * 1024
begin = peak = private()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.0003)[0]:
    peak = max(peak, private())
print(peak - begin)
"""
"""A process of its own that looks at another's memory: a thread would not get to look while a call holds Python's lock."""


def peak_private_bytes(call: Callable[[], object]) -> int:
    """Returns by how much the private memory of this process grew at its peak during a call; mapped file pages do not count."""
    command = [sys.executable, "-I", "-S", "-c", WATCH, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        watcher.stdout.readline()
        call()
        watcher.stdin.close()
        return int(watcher.stdout.readline())


LAUNCH = """
import os, sys, time
begin = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 1, 2)])
_, status, usage = os.wait4(child, 0)
print("\\n@@", time.perf_counter() - begin, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status), flush=True)
"""
"""A small process that starts the command: what the system calls a child's peak is never less than its parent's memory."""


def process(command: list[str], folder: Path) -> tuple[float, int, str]:
    """Runs a command in a folder; returns wall seconds, its peak resident bytes and what it printed.

    Raises:
        RuntimeError: It failed.
    """
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, shutil.which(command[0]) or command[0], *command[1:]]
    done = subprocess.run(
        launcher, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=quiet(), check=True
    )
    printed, _, figures = done.stdout.rpartition("\n@@ ")
    seconds, peak, status = figures.split()
    if int(status) not in (0, 1):  # 1 is a verdict
        raise RuntimeError(f"{command} ended with {status}: {printed[-2000:]}")
    return float(seconds), int(peak), printed


def quiet() -> dict[str, str]:
    """Returns an environment in which nothing but the work prints."""
    return {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def machine(folder: Path) -> dict[str, str | float]:
    """Returns what the figures depend on: processor, memory, libraries, and the file system of a folder."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_system": _file_system(folder),
        **{name: _version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    done = subprocess.run(["stat", "--file-system", "--format=%T", str(folder)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def record(name: str, question: str, answer: str, cache: str, tables: list[Table], folder: Path) -> Path:
    """Writes the record of one benchmark to `results/NAME.json` and returns its path.

    Args:
        name: Name of the benchmark.
        question: The one question that it asks.
        answer: What the figures say, in a sentence with them.
        cache: State of the page cache during the runs.
        tables: The contestants.
        folder: Where the files lay.
    """
    RESULTS.mkdir(exist_ok=True)
    plain: dict[str, Any] = {
        "benchmark": name,
        "question": question,
        "answer": answer,
        "cache": cache,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(folder),
        "tables": [asdict(table) for table in tables],
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
