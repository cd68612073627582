"""Does any damaged file bring down, slow down or fool the readers of containers?

    python -m benchmarks.fuzz_containers [--count 100000] [--seed 0] [--only torch-zip] [--workers 2] [--json PATH]
    python -m benchmarks.fuzz_containers --replay torch-zip:0:4711 [--keep FOLDER]

Genuine checkpoints of every format are made on the spot and damaged `--count` times each (`fuzz_mutations`). Opening, describing
and reading the bytes of every tensor must end in an answer or an `IntactError`, within five seconds, within the size of the file
and 200 MB of memory, and without any import, exec, subprocess, connection or writing. A failure prints the seed that repeats it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fuzz_mutations import mutated, originals, write_files

CASE_LIMIT_S = 5
CASE_LIMIT_BYTES = 200 * 10**6
ADDRESS_SPACE_LIMIT_BYTES = 8 << 30
"""Stops a runaway case before the machine does; what matters is the limit above."""

WATCHED = (
    "exec", "compile", "import", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
    "socket.getaddrinfo", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree", "ctypes.dlopen",
)  # fmt: skip


class TookTooLong(BaseException):
    """A case ran into the alarm; not an Exception, so that nothing swallows it."""


@dataclass
class Tally:
    """What became of the cases of one worker."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    smallest: dict[str, bytes] = field(default_factory=dict)


class Watch:
    """Collects what a case causes beyond reading; quiet while it is off."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._on:
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if event in WATCHED or writes:
            self.events.append(f"{event} {str(args)[:100]}")

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watches for as long as the block runs."""
        self.events.clear()
        self._on = True
        try:
            yield
        finally:
            self._on = False


def use(path: Path) -> str:
    """Returns the answer to one file: the name of its container, or the code of the error."""
    from intact.containers import open_container
    from intact.errors import IntactError

    try:
        with closing(open_container(path)) as container:
            described = container.describe()
            for key in described.tensors:
                read(container, container.record(key))
            container.objects()
            return f"read as {container.source.container}"
    except IntactError as error:
        if not error.code and "cannot be read" not in error.message:
            raise AssertionError(f"an error without a code: {error}") from error
        return error.code or "cannot be read"


def read(container: Any, record: Any) -> None:
    """Reads every byte of a tensor, and of what it is composed of."""
    if record.storage is not None:
        view = container.storage_bytes(record.storage)
        if len(view) != record.storage.size_bytes:
            raise AssertionError(f"{len(view)} bytes of a storage of {record.storage.size_bytes}")
        begin, end = record.span_bytes
        if record.elements and not 0 <= begin <= end <= len(view):
            raise AssertionError(f"a tensor reaches to byte {end} of {len(view)}")
        bytes(view)
    for part in record.parts.values():
        read(container, part)


def judge(path: Path, size_bytes: int, watch: Watch) -> tuple[str, str]:
    """Returns the answer to one file, and why it is a failure ("" where it is none)."""
    before = start_peak()
    signal.setitimer(signal.ITIMER_REAL, CASE_LIMIT_S)
    try:
        with watch.on():
            answer = use(path)
    except TookTooLong:
        return "too long", f"no answer in {CASE_LIMIT_S} s\n{traceback.format_exc(limit=-4)}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a failure to report
        return type(error).__name__, traceback.format_exc(limit=-5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = peak_bytes() - before
    if watch.events:
        return answer, "caused " + "; ".join(watch.events[:3])
    if grown > size_bytes + CASE_LIMIT_BYTES:
        return answer, f"took {grown:,} bytes of memory for a file of {size_bytes:,}"
    return answer, ""


def start_peak() -> int:
    """Returns the memory in use, from which the peak is counted anew.

    `ru_maxrss` alone would not do: it never falls, and a new process begins with that of its parent.
    """
    if _CLEAR.exists():
        _CLEAR.write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Returns the most memory that was in use since `start_peak`; where the system cannot tell, since the process began."""
    if _CLEAR.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return int(found.group(1)) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def prepare() -> tuple[dict[str, dict[str, bytes]], Watch]:
    """Makes the files, imports everything that reading any of them needs, and sets limits."""
    import intact.containers.impostors
    import intact.containers.plain_pickle
    import intact.containers.sharded  # noqa: F401

    def alarm(*_: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, alarm)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_LIMIT_BYTES, ADDRESS_SPACE_LIMIT_BYTES))
    files = originals()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            answer = use(write_files(Path(folder), content))
            assert answer.startswith("read as"), f"{name}: {answer}"
        for garbage in (b"", b"noise \xff\0", b"\0" * 999, b"{}", b"<html>", b"PK\3\4", b"text\n", b"\x1f\x8b\x08", b"ustar"):
            (Path(folder) / "garbage").write_bytes(garbage)
            use(Path(folder) / "garbage")
        use(Path(folder))
    return files, Watch()


def run(job: tuple[str, str, int, int]) -> tuple[str, Tally]:
    """Runs the cases of one container from one number to another."""
    container, seed, begin, end = job
    files, watch = _prepared()
    tally = Tally()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        path = write_files(Path(folder), files[container])
        for number in range(begin, end):
            case = f"{container}:{seed}:{number}"
            strategy, content = mutated(container, case, files[container][path.name])
            path.write_bytes(content)
            began = time.perf_counter()
            answer, failure = judge(path, len(content), watch)
            took = time.perf_counter() - began
            tally.answers[answer] += 1
            if took > tally.slowest_s:
                tally.slowest_s, tally.slowest = took, case
            if failure:
                tally.failures.append({"case": case, "strategy": strategy, "why": failure})
            smallest = tally.smallest.get(answer)
            if smallest is None or len(content) < len(smallest):
                tally.smallest[answer] = content
    return container, tally


_STATE: list[tuple[dict[str, dict[str, bytes]], Watch]] = []


def _prepared() -> tuple[dict[str, dict[str, bytes]], Watch]:
    if not _STATE:
        _STATE.append(prepare())
    return _STATE[0]


def replay(case: str, keep: Path | None) -> int:
    """Runs one case again and prints what becomes of it."""
    container = case.partition(":")[0]
    files, watch = _prepared()
    with tempfile.TemporaryDirectory() as folder:
        path = write_files(keep or Path(folder), files[container])
        strategy, content = mutated(container, case, files[container][path.name])
        path.write_bytes(content)
        answer, failure = judge(path, len(content), watch)
    print(f"{case}  {strategy}  {len(content)} bytes\n{answer}\n{failure}")
    return 1 if failure else 0


def keep(corpus: Path, total: dict[str, Tally]) -> None:
    """Writes the smallest file of every answer, beside what its container needs, and a table of the answers."""
    files = originals()
    table: dict[str, str] = {}
    own = [str(place).encode() for place in (sys.prefix, sys.base_prefix, Path.cwd())]
    for container, tally in sorted(total.items()):
        main, *others = files[container]
        for number, (answer, content) in enumerate(sorted(tally.smallest.items())):
            if any(place in content for place in own):
                continue  # torch wrote down where its sources lie on this machine
            case = f"{container}-{number:02}"
            write_files(corpus / case, {main: content, **{name: files[container][name] for name in others}})
            table[f"{case}/{main}"] = answer
    (corpus / "answers.json").write_text(json.dumps(table, indent=1) + "\n")


def judge_again(corpus: Path) -> int:
    """Judges kept files, and compares their answers with those that were noted; 1 where one fails or differs."""
    _, watch = _prepared()
    wrong = 0
    for name, noted in json.loads((corpus / "answers.json").read_text()).items():
        path = corpus / name
        answer, failure = judge(path, path.stat().st_size, watch)
        if failure or answer != noted:
            wrong += 1
            print(f"{name}: {answer!r}, noted was {noted!r} {failure}")
    print(f"{wrong} wrong")
    return min(wrong, 1)


def jobs(args: argparse.Namespace) -> list[tuple[str, str, int, int]]:
    """Cuts the work into pieces of a thousand cases."""
    names = [name for name in originals() if args.only in name]
    return [
        (name, str(args.seed), begin, min(begin + 1000, args.count)) for begin in range(0, args.count, 1000) for name in names
    ]


def main() -> int:
    """Prints the tally and every failure; 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="cases for each container")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only containers whose name has this in it")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the tally here")
    parser.add_argument("--corpus", type=Path, help="keep the smallest file of every container and answer in this folder")
    parser.add_argument("--again", type=Path, metavar="CORPUS", help="judge the files of such a folder, and compare the answers")
    parser.add_argument("--replay", metavar="CASE", help="run one case again")
    parser.add_argument("--keep", type=Path, help="with --replay: write the damaged file into this folder")
    args = parser.parse_args()
    if args.replay:
        return replay(args.replay, args.keep)
    if args.again:
        return judge_again(args.again)
    total: dict[str, Tally] = {}
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for container, tally in pool.imap_unordered(run, jobs(args)):
            whole = total.setdefault(container, Tally())
            whole.answers += tally.answers
            whole.failures += tally.failures
            for answer, content in tally.smallest.items():
                if len(content) < len(whole.smallest.get(answer, content + b"-")):
                    whole.smallest[answer] = content
            if tally.slowest_s > whole.slowest_s:
                whole.slowest_s, whole.slowest = tally.slowest_s, tally.slowest
    show(total, time.perf_counter() - began)
    if args.corpus:
        keep(args.corpus, total)
    if args.json:
        record = {
            name: {
                "answers": dict(tally.answers),
                "failures": tally.failures,
                "slowest_s": tally.slowest_s,
                "slowest": tally.slowest,
            }
            for name, tally in total.items()
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if any(tally.failures for tally in total.values()) else 0


def show(total: dict[str, Tally], took_s: float) -> None:
    """Prints one block for each container."""
    for name, tally in sorted(total.items()):
        answers = ", ".join(f"{answer} {count:,}" for answer, count in tally.answers.most_common())
        print(f"{name}: {sum(tally.answers.values()):,} cases, {len(tally.failures)} failures, slowest {tally.slowest_s:.2f} s")
        print(f"  ({tally.slowest}) {answers}")
        for failure in tally.failures[:20]:
            print(f"  FAIL {failure['case']} {failure['strategy']}: {failure['why'].strip()}")
    print(f"{sum(sum(tally.answers.values()) for tally in total.values()):,} cases in {took_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
